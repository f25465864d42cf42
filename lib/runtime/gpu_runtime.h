// What the library asks of a GPU beside kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace twofold {

struct DeviceError;

/// What the CUDA plugin offers besides kernels. Functions return 0 or a CUDA error number. All work on a GPU goes to
/// one stream of it, in the order of calls, but for what is captured.
struct GpuRuntime {
  int (*device_count)();                 ///< how many GPUs there are
  const char* (*error_text)(int error);  ///< what an error number means
  bool (*is_fatal)(int error);           ///< the process can use the GPU no more
  void* (*stream)(int gpu);              ///< also makes `gpu` current on the calling thread
  int (*synchronize)(int gpu);           ///< waits until all is done

  // Memory, in the order of the stream.
  int (*allocate)(int gpu, size_t bytes, void** p);     ///< takes memory
  int (*release)(int gpu, void* p);                     ///< gives it back
  int (*memory)(int gpu, size_t* free, size_t* total);  ///< bytes free now, and in all
  int (*trim)(int gpu);                                 ///< waits, then returns released memory to the device

  // Copies. The host's memory may be written again when to_device returns; to_host waits.
  int (*to_device)(int gpu, void* to, const void* from, size_t bytes);                 ///< from the host
  int (*to_host)(int gpu, void* to, const void* from, size_t bytes);                   ///< to the host; waits
  int (*on_device)(int gpu, void* to, const void* from, size_t bytes);                 ///< within one GPU
  int (*between)(int to_gpu, void* to, int from_gpu, const void* from, size_t bytes);  ///< from one GPU to another
  int (*fill)(int gpu, void* to, int byte, size_t bytes);                              ///< sets each byte

  // Where kernels report late. A unit of work has a word in the GPU's memory and a record in the host's.
  int (*make_error_words)(int gpu, size_t n, DeviceError** words, DeviceError** records);  ///< for good
  /// From here on in the stream, what reports to `word` is unit `unit`, whose record is `record`. Numbers ascend.
  int (*begin_unit)(int gpu, DeviceError* word, DeviceError* record, uint64_t unit);
  uint64_t (*begun_unit)(int gpu);  ///< the last one that the GPU has come to

  /// What to call when there is no memory; it says whether it has given some back.
  void (*on_exhausted)(bool (*give_up)(int gpu));

  // What is enqueued on `stream` between begin and end is not done but kept, to be launched as often as wanted.
  int (*begin_capture)(int gpu, void** stream);  ///< from here on nothing is done; gives the stream to enqueue on
  int (*end_capture)(int gpu, void* stream, void** graph);  ///< gives the captured graph, which `free_graph` ends
  /// The nodes of the graph that what is enqueued next comes after, good until the next call; and others in their
  /// place.
  int (*captured_ends)(void* stream, void* const** nodes, size_t* n);
  /// Takes these nodes to be what comes next's predecessors.
  int (*capture_after)(void* stream, void* const* nodes, size_t n);
  int (*launch_graph)(int gpu, void* graph);  ///< does what was captured
  void (*free_graph)(int gpu, void* graph);   ///< ends a captured graph

  /// Copies `n` pieces of memory on `stream`, unless there is a `word` and it holds an error by then.
  int (*commit)(void* stream, const DeviceError* word, size_t n, void* const* to, const void* const* from,
                const size_t* bytes);

  // Points in the stream's time.
  int (*record_event)(int gpu, void** event);  ///< a point in the stream's time, which `free_event` ends
  int (*elapsed)(void* begin, void* end, float* milliseconds);  ///< waits for both
  void (*free_event)(int gpu, void* event);                     ///< ends a point in time

  // Names for profilers, around what the calling thread does.
  void (*push_range)(const char* name);  ///< begins a range of that name
  void (*pop_range)();                   ///< ends the innermost range
};

/// Throws Internal for a CUDA error other than 0, saying so if the GPU can be used no more.
void check_gpu(int error, const char* what);

}  // namespace twofold

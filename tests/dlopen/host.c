// Loads the library while it runs, as a language's interpreter or a program with plug-ins does, and lets a plug-in that
// is linked with it compute, on this thread and on another. The program itself knows neither twofold nor C++.
//
// usage: host LIBRARY PLUG_IN
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

// glibc keeps 512 bytes (the tunable rtld.optional_static_tls) for the thread-local variables of all libraries that are
// loaded late and want theirs at a fixed place. A library that wants most of it can be loaded only while no other is.
enum { kMostThreadLocal = 320 };

static int measure(struct dl_phdr_info* info, size_t size, void* found) {
  (void)size;
  if (!strstr(info->dlpi_name, "libtwofold")) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i)
    if (info->dlpi_phdr[i].p_type == PT_TLS) *(long*)found = (long)info->dlpi_phdr[i].p_memsz;
  return 0;
}

static void* run(void* plug_in) {
  const char* (*compute)(void) = (const char* (*)(void))dlsym(plug_in, "compute");
  return (void*)(compute ? compute() : "the plug-in has no function `compute`");
}

int main(int count, char** arguments) {
  if (count != 3) return fprintf(stderr, "usage: host LIBRARY PLUG_IN\n"), 2;
  void* library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return printf("FAILED: %s\n", dlerror()), 1;
  long bytes = 0;
  dl_iterate_phdr(measure, &bytes);
  if (bytes > kMostThreadLocal) return printf("FAILED: %ld bytes of thread-local variables\n", bytes), 1;
  for (int round = 0; round < 2; ++round) {  // closed and loaded again, it goes on
    void* plug_in = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
    if (!plug_in) return printf("FAILED: %s\n", dlerror()), 1;
    const char* here = run(plug_in);
    pthread_t thread;
    void* there = NULL;
    if (pthread_create(&thread, NULL, run, plug_in) != 0 || pthread_join(thread, &there) != 0) return 1;
    if (*here || *(const char*)there) return printf("FAILED: %s; %s\n", here, (const char*)there), 1;
    dlclose(plug_in);
    dlclose(library);
    library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) return printf("FAILED: %s\n", dlerror()), 1;
  }
  return puts("loaded, computed, closed, loaded again"), 0;
}

#include <twofold/kernels/matmul/gemm_gpu.h>

#include <array>
#include <mutex>
#include <sstream>

#include <twofold/kernels/cuda/disk_cache.h>
#include <twofold/kernels/cuda/tuning.h>

namespace twofold::cublas {
namespace {

constexpr int kCandidates = 6;
constexpr const char* kKind = "matmul";  ///< in the cache on disk
/// From this number of multiplications on timing is worth its time.
constexpr double kWorthTiming = 1 << 24;
/// From this number on a large workspace may be worth its memory.
constexpr double kWorthMemory = 1 << 21;

/// The current device's handle, which needs no lock; null if none can be made. Never destroyed: the driver may be gone
/// by the time statics are destroyed.
cublasLtHandle_t handle_of_current_device() {
  static std::mutex mutex;
  static std::array<cublasLtHandle_t, 64> all{};
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= static_cast<int>(all.size())) return nullptr;
  std::lock_guard lock(mutex);
  cublasLtHandle_t& h = all[static_cast<size_t>(device)];
  if (!h && cublasLtCreate(&h) != CUBLAS_STATUS_SUCCESS) h = nullptr;
  return h;
}

/// All that a choice depends on; empty if the GPU's model is not known.
std::string key_of(const Product& p) {
  std::string key = cuda::gpu_key();
  if (key.empty()) return key;
  const auto add = [&](const char* name, const auto&... values) { cuda::add_to_key(key, name, values...); };
  add("cuBLASLt", cublasLtGetVersion());
  add("float64", p.float64);
  add("transposed", p.transpose_a, p.transpose_b);
  add("m, n, k", p.m, p.n, p.k);
  add("batch", p.batch, p.a_stride, p.b_stride);
  add("alignment", p.alignment);
  add("tf32", p.tf32);
  add("deterministic", p.deterministic);
  return key;
}

}  // namespace

Gemm::Gemm(const Product& p, cublasLtHandle_t handle)
    : product_(p), most_workspace_(size_t{p.multiplications() < kWorthMemory ? 1u : 32u} << 20), handle_(handle) {
  const auto check = [&](cublasStatus_t status) { good_ = good_ && status == CUBLAS_STATUS_SUCCESS; };
  const auto type = p.float64 ? CUDA_R_64F : CUDA_R_32F;
  check(cublasLtMatmulDescInit(&operation_,
                               p.float64 ? CUBLAS_COMPUTE_64F
                               : p.tf32  ? CUBLAS_COMPUTE_32F_FAST_TF32
                                         : CUBLAS_COMPUTE_32F,
                               type));
  const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool yes) {
    const int32_t op = yes ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(&operation_, which, &op, sizeof op));
  };
  // cuBLAS is column-major: our C = A B is its C^T = B^T A^T, so B comes first and rows are its columns.
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a);
  const auto lay_out = [&](cublasLtMatrixLayoutOpaque_t& layout, bool transposed, int64_t rows, int64_t columns,
                           int64_t stride) {
    if (transposed) std::swap(rows, columns);
    check(
        cublasLtMatrixLayoutInit(&layout, type, static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), columns));
    const auto batch = static_cast<int32_t>(p.batch);
    check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch));
    check(
        cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  };
  lay_out(a_, p.transpose_a, p.m, p.k, p.a_stride);
  lay_out(b_, p.transpose_b, p.k, p.n, p.b_stride);
  lay_out(c_, false, p.m, p.n, p.m * p.n);
}

std::vector<Gemm> Gemm::candidates() const {
  cublasLtMatmulPreferenceOpaque_t preference;
  bool good = good_ && cublasLtMatmulPreferenceInit(&preference) == CUBLAS_STATUS_SUCCESS;
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
    good =
        good && cublasLtMatmulPreferenceSetAttribute(&preference, which, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{most_workspace_});
  for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                           CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    prefer(which, static_cast<uint32_t>(product_.alignment));
  // Parts of a sum that are added in place are added in the order in which they are done: not deterministic.
  if (product_.deterministic)
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE});
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results;
  int n = 0;
  if (!good || cublasLtMatmulAlgoGetHeuristic(handle_, &operation_, &b_, &a_, &c_, &c_, &preference, kCandidates,
                                              results.data(), &n) != CUBLAS_STATUS_SUCCESS)
    return {};
  std::vector<Gemm> all;
  for (int i = 0; i < n; ++i) {
    const auto& r = results[static_cast<size_t>(i)];
    if (r.state != CUBLAS_STATUS_SUCCESS) continue;
    Gemm& gemm = all.emplace_back(*this);
    gemm.algorithm_ = r.algo, gemm.workspace_ = r.workspaceSize;
  }
  return all;
}

std::string Gemm::algorithm() const {
  std::string text;
  for (const uint64_t word : algorithm_.data) text += std::to_string(word) + " ";
  return text;
}

std::optional<Gemm> Gemm::with_algorithm(const std::string& text) const {
  std::istringstream in(text);
  Gemm gemm = *this;
  for (uint64_t& word : gemm.algorithm_.data) in >> word;
  cublasLtMatmulHeuristicResult_t result;
  if (!in || !good_ ||
      cublasLtMatmulAlgoCheck(handle_, &operation_, &b_, &a_, &c_, &c_, &gemm.algorithm_, &result) !=
          CUBLAS_STATUS_SUCCESS ||
      result.workspaceSize > most_workspace_)
    return std::nullopt;
  gemm.workspace_ = result.workspaceSize;
  return gemm;
}

std::shared_ptr<const Gemm> Gemm::choose(const std::string& key) const {
  const Product& p = product_;
  cuda::Bench bench;
  const void* a = bench.operand((p.batch - 1) * p.a_stride + p.m * p.k, p.float64);
  const void* b = bench.operand((p.batch - 1) * p.b_stride + p.k * p.n, p.float64);
  void* c = bench.operand(p.batch * p.m * p.n, p.float64);
  const auto run_of = [&](const Gemm& gemm) {
    return [&, a, b, c](cudaStream_t stream, void* workspace) {
      return gemm.run(a, b, c, workspace, stream) == CUBLAS_STATUS_SUCCESS;
    };
  };
  const auto text = cuda::read_cached(kKind, key);
  if (const auto gemm = text ? with_algorithm(*text) : std::nullopt;
      gemm && bench.good() && bench.works(gemm->workspace(), run_of(*gemm)))
    return std::make_shared<const Gemm>(*gemm);
  const auto all = candidates();
  const Gemm* best = nullptr;
  float best_time = 0;
  for (const Gemm& gemm : all) {
    const auto time = bench.good() ? bench.time(gemm.workspace(), run_of(gemm)) : std::nullopt;
    if (time && (!best || *time < best_time)) best = &gemm, best_time = *time;
  }
  if (best) cuda::write_cached(kKind, key, best->algorithm());
  if (!best && !all.empty()) best = &all[0];  // there was no memory to try them
  return best ? std::make_shared<const Gemm>(*best) : nullptr;
}

std::shared_ptr<const Gemm> Gemm::make(const Product& p) {
  const cuda::BesideCaptures beside;
  const cublasLtHandle_t handle = handle_of_current_device();
  if (!handle) return nullptr;
  const Gemm gemm(p, handle);
  const bool timed = p.multiplications() >= kWorthTiming && cuda::may_time();
  if (const std::string key = timed ? key_of(p) : ""; !key.empty()) {
    static auto& choices = *new cuda::Choices<Gemm>;
    return choices.get(key, [&] { return gemm.choose(key); });
  }
  const auto all = gemm.candidates();
  return all.empty() ? nullptr : std::make_shared<const Gemm>(all[0]);
}

cublasStatus_t Gemm::run(const void* a, const void* b, void* c, void* workspace, cudaStream_t stream) const {
  const float one32 = 1, zero32 = 0;
  const double one64 = 1, zero64 = 0;
  const void* one = product_.float64 ? static_cast<const void*>(&one64) : &one32;
  const void* zero = product_.float64 ? static_cast<const void*>(&zero64) : &zero32;
  return cublasLtMatmul(handle_, &operation_, one, b, &b_, a, &a_, zero, c, &c_, c, &c_, &algorithm_, workspace,
                        workspace_, stream);
}

}  // namespace twofold::cublas

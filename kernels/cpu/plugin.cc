// The CPU plugin's identity: which instruction set this copy of the kernels was compiled for.
namespace twofold {
const char* plugin_isa();
const char* plugin_isa() { return TWOFOLD_ISA_NAME; }
}  // namespace twofold

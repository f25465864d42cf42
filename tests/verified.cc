// In every test program: what passes make of programs is verified after each of them.
#include <twofold/session/program/passes.h>

static const bool g_verified = (twofold::verify_programs(true), true);

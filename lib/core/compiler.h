// Which compilers can build programs that include twofold. Included before all else, so that others end here, with one reason
// instead of hundreds of errors.
#pragma once

#if defined(__clang__) ? __clang_major__ < 15 : !defined(__GNUC__) || __GNUC__ < 12
#error "twofold needs g++ 12 or later, or clang++ 15 or later with libstdc++ 12 or later: CXX=g++-12, CXX=clang++-15 (Debian 12 and later have both)"
#include "this_compiler_is_too_old_for_twofold.h"
#elif __cplusplus < 202002L
#error "twofold needs C++20: compile with -std=c++20"
#include "compile_with_-std=c++20.h"
#endif

#include <cstddef>  // says which standard library this is

#if defined(_GLIBCXX_RELEASE) && _GLIBCXX_RELEASE < 12
#error "twofold needs libstdc++ 12 or later: install g++-12 beside this compiler"
#include "this_standard_library_is_too_old_for_twofold.h"
#endif

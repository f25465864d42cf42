#pragma once
#include <twofold/lib/autodiff/gradients.h>

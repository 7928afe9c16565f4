/* wloom_check.h: what pool/base/check.h is in a model-checking build: a failed check is a failed
 * execution. Checks of our own invariants are always on. */
#ifndef WLOOM_CHECK_H
#define WLOOM_CHECK_H

#include "tests/model/wloom.h"

#define wf_check(condition, ...) \
    ((condition) ? (void)0 : wloom_fail(__FILE__, __LINE__, "check: %s", #condition))
#define wf_check_inner(condition) \
    ((condition) ? (void)0 : wloom_fail(__FILE__, __LINE__, "check: %s", #condition))

#endif

/* weft.h: everything that most programs need. Separate are fork.h (inline fork/join), stackless.h
 * (once-only values, frames without a stack), debug.h (dumps, counters), bench.h (workloads for
 * taskbench) and tls.h, which is of the library weft_tls. */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

#include <weft/base.h>
#include <weft/cancel.h>
#include <weft/chan.h>
#include <weft/exec.h>
#include <weft/file.h>
#include <weft/gen.h>
#include <weft/graph.h>
#include <weft/io.h>
#include <weft/loan.h>
#include <weft/local.h>
#include <weft/net.h>
#include <weft/par.h>
#include <weft/proc.h>
#include <weft/reuse.h>
#include <weft/serve.h>
#include <weft/service.h>
#include <weft/select.h>
#include <weft/signal.h>
#include <weft/stream.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/watch.h>

#endif

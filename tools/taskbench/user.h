/* user.h: workloads from shared objects (weft/bench.h). An object that was loaded is known to the
 * processes that this one starts too, through the environment (TASKBENCH_LOADS). */
#ifndef TB_USER_H
#define TB_USER_H

#include "load.h"

#define TB_USER_ENV    "TASKBENCH_LOADS" /* paths, with ':' between */
#define TB_OBJECTS_MAX 8
#define TB_USER_GROUP  24 /* bytes of a group's name */

/* "./mine.so", "/x/mine.so": an argument that means a shared object and not a workload. */
bool tb_user_is_object(const char *argument);

/* Its real path, as TB_USER_ENV has it. 0, or -EINVAL with `error`. */
int tb_user_resolve(const char *path, char *out, size_t bytes, char error[TB_REASON_MAX]);

/* Loads it. Its workloads form a group named like the file, without folder and ending, which is
 * written to `group`. 0, also if it is loaded already; -EINVAL with `error`, one line. */
int tb_user_load(const char *path, char group[TB_USER_GROUP], char error[TB_REASON_MAX]);

/* Loads what the environment names. 0, or -EINVAL with `error`. */
int tb_user_load_environment(char error[TB_REASON_MAX]);

/* The user's workload number `index`; NULL past the last. */
const struct tb_load *tb_user_at(int index);

#endif

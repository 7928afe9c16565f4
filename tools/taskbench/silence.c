/* silence.c: see silence.h. */
#include "silence.h"
#include "clock.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)
#define BOUND     10 /* of max_ns: some wait for a processor often, and hang all the same */

void tb_silence_count(pid_t pid, uint64_t *ran_ns, uint64_t *waited_ns)
{
    char path[320];
    *ran_ns = *waited_ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    const struct dirent *entry;
    while (threads && (entry = readdir(threads))) { /* ends: the directory's end */
        uint64_t ran, waited;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (file && fscanf(file, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2) {
            *ran_ns += ran;
            *waited_ns += waited;
        }
        if (file) {
            fclose(file);
        }
    }
    if (threads) {
        closedir(threads);
    }
}

void tb_silence_end(struct tb_silence *silence, pid_t pid)
{
    *silence = (struct tb_silence){.pid = pid, .since_ns = tb_now_ns()};
}

bool tb_silence_judge(uint64_t silent_ns, uint64_t ran_ns, uint64_t waited_ns, uint64_t max_ns)
{
    return silent_ns >= BOUND * max_ns || ran_ns >= max_ns ||
           (silent_ns >= max_ns && silent_ns - max_ns >= waited_ns);
}

bool tb_silence_is_hang(struct tb_silence *silence, int max_s)
{
    uint64_t silent_ns = tb_now_ns() - silence->since_ns, max_ns = (uint64_t)max_s * SECOND_NS;
    if (silent_ns < max_ns && (silence->has_begun || silent_ns < SECOND_NS)) {
        return false;
    }
    uint64_t ran_ns, waited_ns;
    tb_silence_count(silence->pid, &ran_ns, &waited_ns);
    if (!silence->has_begun) {
        silence->has_begun = true;
        silence->ran_ns = ran_ns;
        silence->waited_ns = waited_ns;
    }
    /* a thread that has ended takes its share with it */
    ran_ns = ran_ns > silence->ran_ns ? ran_ns - silence->ran_ns : 0;
    waited_ns = waited_ns > silence->waited_ns ? waited_ns - silence->waited_ns : 0;
    return silent_ns >= max_ns && tb_silence_judge(silent_ns, ran_ns, waited_ns, max_ns);
}

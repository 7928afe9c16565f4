/* silence.h: does a process that says nothing hang, or has it been kept from a processor? */
#ifndef TB_SILENCE_H
#define TB_SILENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tb_silence {
    pid_t pid;
    uint64_t since_ns; /* it was heard last */
    bool has_begun;    /* the next two are those of a second after that, of all its threads */
    uint64_t ran_ns, waited_ns; /* on a processor, and for one */
};

/* `pid` was heard just now. */
void tb_silence_end(struct tb_silence *silence, pid_t pid);

/* Has it been silent for too long? To be asked several times a second. */
bool tb_silence_is_hang(struct tb_silence *silence, int max_s);

/* That question, of a silence of silent_ns in which its threads ran and waited for so long. A
 * silence of more than ten times max_ns is one in any case. */
bool tb_silence_judge(uint64_t silent_ns, uint64_t ran_ns, uint64_t waited_ns, uint64_t max_ns);

/* What the threads of `pid` have run, and waited for a processor, so far. 0: the kernel does not
 * say. */
void tb_silence_count(pid_t pid, uint64_t *ran_ns, uint64_t *waited_ns);

#endif

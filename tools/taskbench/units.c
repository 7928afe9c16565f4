/* units.c: see units.h. */
#include "units.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>

/* A value of 0 or more with three significant digits; whole above 999.5. */
static int format_3(char *out, size_t bytes, double value)
{
    if (value == 0) {
        return snprintf(out, bytes, "0");
    }
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return snprintf(out, bytes, "%.*f", decimals, value);
}

struct time_unit {
    double ns;
    const char *name;
};

static struct time_unit unit_for(double ns)
{
    static const struct time_unit units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (ns >= units[i].ns * 0.9995) { /* what would round to 1000 of the next smaller */
            return units[i];
        }
    }
    return (struct time_unit){1, "ns"};
}

const char *tb_format_time(char out[TB_NUMBER_MAX], double ns)
{
    struct time_unit unit = unit_for(ns);
    int used = format_3(out, TB_NUMBER_MAX, ns / unit.ns);
    snprintf(out + used, TB_NUMBER_MAX - (size_t)used, " %s", unit.name);
    return out;
}

const char *tb_format_range(char out[TB_NUMBER_MAX], double min, double max, double like)
{
    double ns = unit_for(like).ns;
    char low[TB_NUMBER_MAX / 2 - 1], high[TB_NUMBER_MAX / 2 - 1];
    format_3(low, sizeof low, min / ns);
    format_3(high, sizeof high, max / ns);
    snprintf(out, TB_NUMBER_MAX, "%s..%s", low, high);
    return out;
}

static const char *format_scaled(char out[TB_NUMBER_MAX], double value, double step,
                                 const char *suffixes)
{
    const char *suffix = suffixes;
    while (value >= 999.5 && suffix[1] != '\0') {
        value /= step;
        suffix++;
    }
    int used = format_3(out, TB_NUMBER_MAX, value);
    if (*suffix != ' ') {
        snprintf(out + used, TB_NUMBER_MAX - (size_t)used, "%c", *suffix);
    }
    return out;
}

/* A whole number below 1000 is shown as such: "0.00" means a little, "0" means none. */
const char *tb_format_count(char out[TB_NUMBER_MAX], double value)
{
    if (value < 999.5 && value == floor(value)) {
        snprintf(out, TB_NUMBER_MAX, "%.0f", value);
        return out;
    }
    return format_scaled(out, value, 1000, " kMGT");
}

const char *tb_format_bytes(char out[TB_NUMBER_MAX], uint64_t bytes)
{
    if (bytes < 1000) {
        snprintf(out, TB_NUMBER_MAX, "%u", (unsigned)bytes);
        return out;
    }
    return format_scaled(out, (double)bytes, 1024, " KMGT");
}

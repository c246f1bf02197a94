/*
 * bench.h - how the programs here say what they measured.
 *
 *	figure <TAB> what <TAB> measured <TAB> unit <TAB> at most|at least|- <TAB> budget
 *
 * tests/bench/run collects these lines of all programs into one table. A figure without a budget
 * has "-" twice. Times are the best of many short rounds: others share the machine, and what they
 * take is no property of the code.
 */
#ifndef TYCHO_BENCH_H
#define TYCHO_BENCH_H

#include <stdio.h>

static inline void bench_at_most(const char *what, double measured, const char *unit, double budget)
{
	(void)printf("figure\t%s\t%.6g\t%s\tat most\t%.6g\n", what, measured, unit, budget);
}

static inline void bench_at_least(const char *what, double measured, const char *unit,
				  double budget)
{
	(void)printf("figure\t%s\t%.6g\t%s\tat least\t%.6g\n", what, measured, unit, budget);
}

static inline void bench_note(const char *what, double measured, const char *unit)
{
	(void)printf("figure\t%s\t%.6g\t%s\t-\t-\n", what, measured, unit);
}

#endif

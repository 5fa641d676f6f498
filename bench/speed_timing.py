"""Interleaved timing: every job once a round, medians over the rounds."""

import time

import numpy as np


def measure(jobs, rounds, least=0.05, most=12.0):
    """Time jobs {name: function}; return {name: (median wall s, median CPU s, calls)}.

    A job that takes less than `least` seconds is repeated within its round; a job stops taking part
    once it has used `most` seconds, but not before two rounds.
    """
    wall = {name: [] for name in jobs}
    cpu = {name: [] for name in jobs}
    for name, job in jobs.items():
        repeat_for(job, 0, wall[name], cpu[name])  # the first call warms up
        wall[name].clear()
        cpu[name].clear()
    for number in range(rounds):
        for name, job in jobs.items():
            if number < 2 or sum(wall[name]) < most:
                repeat_for(job, least, wall[name], cpu[name])
    return {n: (float(np.median(wall[n])), float(np.median(cpu[n])), len(wall[n])) for n in jobs}


def repeat_for(job, least, wall, cpu):
    """Call a job once, and again until `least` seconds have passed."""
    spent = 0.0
    while True:
        started, before = time.perf_counter(), time.process_time()
        job()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - before)
        spent += wall[-1]
        if spent >= least:
            return

"""Parts of Table 1: its runs, the published figures, prediction latency, report and plot."""

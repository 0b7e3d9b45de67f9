"""The figures of the dashboard: balance summary, totals, chart data and recent activity."""

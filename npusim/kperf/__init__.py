"""The K-Perf grid: cells, table, workbook and charts."""

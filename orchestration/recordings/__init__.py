"""What a show leaves behind: found, checked, joined if it must be, and judged."""

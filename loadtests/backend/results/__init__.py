"""What the public sees: releases of accepted records, their formats, the page, the routes that stand a stampede."""

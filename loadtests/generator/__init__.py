"""The open workload: processes that send what is due when it is due, over connections of their own."""

"""What is sent: a night's own requests, flows that go on as long as they are asked to, a stampede, hours."""

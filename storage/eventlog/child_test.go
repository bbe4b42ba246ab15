package eventlog

func runChild() bool { return false }

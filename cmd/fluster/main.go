// Command fluster tells operators where keys are, how evenly they are shared,
// and which of them move. Run "fluster --help".
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	// SIGPIPE is left alone: a write to a pipe that nobody reads ends the
	// program without a word, as in "fluster where ... | head".
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(status)
}

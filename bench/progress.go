package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells people who wait what is going on, and since when.
type progress struct {
	w     io.Writer
	begun time.Time
}

// say writes one line.
func (p progress) say(format string, args ...any) {
	fmt.Fprintf(p.w, "%6.1fs  %s\n", time.Since(p.begun).Seconds(), fmt.Sprintf(format, args...))
}

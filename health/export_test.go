package health

// NewWithJitter is New with a source of jitter from 0 to 1.
var NewWithJitter = newChecker

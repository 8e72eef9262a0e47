//go:build !race

package main

// race says that the race detector is on: to compress 1.1 GB takes minutes with it.
const race = false

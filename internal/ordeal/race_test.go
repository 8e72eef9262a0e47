//go:build race

package ordeal_test

const raceDetector = true

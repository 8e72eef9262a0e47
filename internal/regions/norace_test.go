//go:build !race

package regions_test

const raceDetector = false

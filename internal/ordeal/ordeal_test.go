package ordeal_test

import (
	"testing"

	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/ordeal/ordealtest"
)

// TestMemory plays all scenarios on a backend in memory; with the race detector, which makes
// them some twenty times slower, a part.
func TestMemory(t *testing.T) {
	part := 0
	if raceDetector {
		part = 60
	}
	ordealtest.Run(t, part, ordeal.Memory(), ordeal.Memory())
}

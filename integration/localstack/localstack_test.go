package localstack

import (
	"strings"
	"testing"
)

// TestServesLooksAtEachService: the health page answers before the services do.
func TestServesLooksAtEachService(t *testing.T) {
	for page, want := range map[string]bool{
		`{"services": {"dynamodb": "running", "s3": "running", "sqs": "disabled"}}`: true,
		`{"services": {"dynamodb": "running", "s3": "starting"}}`:                   false,
		`{"services": {"dynamodb": "error", "s3": "running"}}`:                      false,
		`{"services": {"dynamodb": "available", "s3": "running"}}`:                  false,
		`{"services": {"s3": "running"}}`:                                           false,
		`{"services": {}}`:                                                          false,
		`Ready.`:                                                                    false,
	} {
		if got := serves(strings.NewReader(page)); got != want {
			t.Errorf("%s: %v, want %v", page, got, want)
		}
	}
}

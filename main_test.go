package sdsaws_test

import (
	"testing"

	"github.com/sdsaws/sdsaws/internal/drawn"
)

func TestMain(m *testing.M) { drawn.Main(m) }

package hclcheck_test

import (
	"testing"
	"testing/fstest"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// TestAPolicyHasAllConditionsAndPrincipals: a second block of the same test and variable widens
// the first, as the provider writes it, and doesn't take its place.
func TestAPolicyHasAllConditionsAndPrincipals(t *testing.T) {
	const module = `
data "aws_iam_policy_document" "x" {
  statement {
    actions   = ["s3:GetObject"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }

    principals {
      type        = "AWS"
      identifiers = ["1"]
    }

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["*"]
    }

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["alice/*"]
    }
  }
}

output "json" {
  value = data.aws_iam_policy_document.x.json
}
`
	schema, err := hclcheck.AWS()
	if err != nil {
		t.Fatal(err)
	}
	m, err := hclcheck.Load(fstest.MapFS{"m/main.tf": {Data: []byte(module)}}, "m")
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.Evaluate(schema, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"],` +
		`"Principal":{"AWS":["*","1"],"Service":["lambda.amazonaws.com"]},"Condition":{"StringLike":{"s3:prefix":["*","alice/*"]}}}]}`
	if got := e.Outputs["json"].AsString(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

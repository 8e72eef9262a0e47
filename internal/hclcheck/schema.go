// Package hclcheck evaluates Terraform modules without Terraform, providers or a network:
// variables, locals, functions, resources, nested modules. Arguments are held against the
// AWS provider's schema, and attributes that only AWS knows are made up. It is for the tests
// of package terraform.
package hclcheck

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

//go:generate go -C ../.. run ./internal/hclcheck/schemagen

//go:embed schema.json
var schemaJSON []byte

// Schema has what the provider takes, of the resources that are used here.
type Schema struct {
	Package  string            // the package that it is from
	Provider string            // the provider's version
	Types    map[string]*Block // by resource, as aws_s3_bucket or data.aws_region
}

// Block is a resource or a block in one.
type Block struct {
	Required bool              `json:",omitempty"`
	One      bool              `json:",omitempty"` // at most one of it
	Args     map[string]*Arg   `json:",omitempty"`
	Blocks   map[string]*Block `json:",omitempty"`
	Computed map[string]string `json:",omitempty"` // types of attributes that can't be set
}

// Arg is an argument.
type Arg struct {
	Type     string // as HCL writes it
	Required bool   `json:",omitempty"`
}

// AWS returns the schema of the AWS provider.
var AWS = sync.OnceValues(func() (*Schema, error) {
	s := &Schema{}
	return s, json.Unmarshal(schemaJSON, s)
})

// spec returns what decodes a block's body: it refuses what the schema doesn't have, other
// types, and what is missing.
func (b *Block) spec() (hcldec.ObjectSpec, error) {
	spec := hcldec.ObjectSpec{}
	for name, a := range b.Args {
		t, err := parseType(a.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		spec[name] = &hcldec.AttrSpec{Name: name, Type: t, Required: a.Required}
	}
	for name, nested := range b.Blocks {
		inner, err := nested.spec()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list := &hcldec.BlockTupleSpec{TypeName: name, Nested: inner}
		if nested.Required {
			list.MinItems = 1
		}
		if nested.One {
			list.MaxItems = 1
		}
		spec[name] = list
	}
	return spec, nil
}

func parseType(text string) (cty.Type, error) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilType, diags
	}
	t, diags := typeexpr.TypeConstraint(expr)
	if diags.HasErrors() {
		return cty.NilType, diags
	}
	return t, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

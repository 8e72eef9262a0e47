package hclcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Module is one directory of .tf files.
type Module struct {
	Dir       string
	Variables map[string]*Variable
	Outputs   map[string]*Output
	Resources map[string]*hclsyntax.Block // by address, as aws_s3_bucket.x or data.aws_region.x

	locals map[string]hcl.Expression
	calls  map[string]*call
}

// Variable is an input of a module.
type Variable struct {
	Description string
	Type        cty.Type // cty.NilType if none is declared
	Default     *cty.Value
	Validations []Validation

	defaults *typeexpr.Defaults // of optional attributes
}

// Validation is one condition that a variable's value has to meet.
type Validation struct {
	condition, message hcl.Expression
}

// Output is one value that a module gives.
type Output struct {
	Description string
	value       hcl.Expression
}

// call is a use of another module.
type call struct {
	module *Module
	args   map[string]*hclsyntax.Attribute
	at     hcl.Range
}

// Load parses a module and those it uses, which are beside it. The error has everything
// that is wrong.
func Load(fsys fs.FS, dir string) (*Module, error) {
	m := &Module{Dir: dir, Variables: map[string]*Variable{}, Outputs: map[string]*Output{},
		Resources: map[string]*hclsyntax.Block{}, locals: map[string]hcl.Expression{}, calls: map[string]*call{}}
	files, err := fs.Glob(fsys, path.Join(dir, "*.tf"))
	if err == nil && len(files) == 0 {
		err = errors.New("no .tf files")
	}
	if err != nil {
		return nil, fmt.Errorf("hclcheck: %s: %w", dir, err)
	}
	var wrong []error
	for _, name := range files {
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		file, diags := hclsyntax.ParseConfig(source, name, hcl.InitialPos)
		if diags.HasErrors() {
			return nil, diags
		}
		body := file.Body.(*hclsyntax.Body)
		for _, a := range body.Attributes {
			wrong = append(wrong, fmt.Errorf("%s: an argument outside of blocks", a.SrcRange))
		}
		for _, b := range body.Blocks {
			if err := m.add(fsys, b); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", b.DefRange(), err))
			}
		}
	}
	return m, errors.Join(wrong...)
}

var labels = map[string]int{
	"terraform": 0, "locals": 0, "provider": 1, "variable": 1, "output": 1, "module": 1, "resource": 2, "data": 2,
}

func (m *Module) add(fsys fs.FS, b *hclsyntax.Block) error {
	n, ok := labels[b.Type]
	if !ok || len(b.Labels) != n {
		return fmt.Errorf("a block %s with %d labels", b.Type, len(b.Labels))
	}
	switch b.Type {
	case "variable":
		v, err := variable(b.Body)
		return put(m.Variables, b.Labels[0], v, err)
	case "output":
		o, err := output(b.Body)
		return put(m.Outputs, b.Labels[0], o, err)
	case "locals":
		for name, a := range b.Body.Attributes {
			if err := put(m.locals, name, hcl.Expression(a.Expr), nil); err != nil {
				return err
			}
		}
	case "module":
		c, err := m.call(fsys, b)
		return put(m.calls, b.Labels[0], c, err)
	case "resource":
		return put(m.Resources, strings.Join(b.Labels, "."), b, nil)
	case "data":
		return put(m.Resources, "data."+strings.Join(b.Labels, "."), b, nil)
	}
	return nil
}

func put[V any](to map[string]V, name string, v V, err error) error {
	if _, twice := to[name]; twice && err == nil {
		err = fmt.Errorf("%s is declared twice", name)
	}
	to[name] = v
	return err
}

func variable(body *hclsyntax.Body) (*Variable, error) {
	var raw struct {
		Description string         `hcl:"description,optional"`
		Type        hcl.Expression `hcl:"type,optional"`
		Default     *cty.Value     `hcl:"default,optional"`
		Nullable    *bool          `hcl:"nullable,optional"`
		Validations []struct {
			Condition hcl.Expression `hcl:"condition"`
			Message   hcl.Expression `hcl:"error_message"`
		} `hcl:"validation,block"`
	}
	if diags := gohcl.DecodeBody(body, nil, &raw); diags.HasErrors() {
		return nil, diags
	}
	v := &Variable{Description: raw.Description}
	if body.Attributes["type"] != nil {
		var diags hcl.Diagnostics
		if v.Type, v.defaults, diags = typeexpr.TypeConstraintWithDefaults(raw.Type); diags.HasErrors() {
			return nil, diags
		}
	}
	for _, r := range raw.Validations {
		v.Validations = append(v.Validations, Validation{r.Condition, r.Message})
	}
	if body.Attributes["default"] == nil {
		return v, nil
	}
	if raw.Default == nil {
		null := cty.NullVal(cty.DynamicPseudoType)
		raw.Default = &null
	}
	v.Default = raw.Default
	return v, nil
}

func output(body *hclsyntax.Body) (*Output, error) {
	var raw struct {
		Description string         `hcl:"description,optional"`
		Sensitive   bool           `hcl:"sensitive,optional"`
		Value       hcl.Expression `hcl:"value"`
	}
	if diags := gohcl.DecodeBody(body, nil, &raw); diags.HasErrors() {
		return nil, diags
	}
	return &Output{raw.Description, raw.Value}, nil
}

func (m *Module) call(fsys fs.FS, b *hclsyntax.Block) (*call, error) {
	c := &call{args: map[string]*hclsyntax.Attribute{}, at: b.DefRange()}
	for _, nested := range b.Body.Blocks {
		return nil, fmt.Errorf("a block %s in a module's", nested.Type)
	}
	var source string
	for name, a := range b.Body.Attributes {
		switch name {
		case "source":
			if diags := gohcl.DecodeExpression(a.Expr, nil, &source); diags.HasErrors() {
				return nil, diags
			}
		case "count", "for_each", "providers", "version", "depends_on":
			return nil, fmt.Errorf("%s of a module isn't known here", name)
		default:
			c.args[name] = a
		}
	}
	if !strings.HasPrefix(source, ".") {
		return nil, fmt.Errorf("source %q isn't a path", source)
	}
	var err error
	c.module, err = Load(fsys, path.Join(m.Dir, source))
	return c, err
}

// Types returns the types of all resources and data in all modules of a tree.
func Types(fsys fs.FS) ([]string, error) {
	var types []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".tf" {
			return err
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, diags := hclsyntax.ParseConfig(source, name, hcl.InitialPos)
		if diags.HasErrors() {
			return diags
		}
		for _, b := range file.Body.(*hclsyntax.Body).Blocks {
			switch b.Type {
			case "resource":
				types = append(types, b.Labels[0])
			case "data":
				types = append(types, "data."+b.Labels[0])
			}
		}
		return nil
	})
	slices.Sort(types)
	return slices.Compact(types), err
}

// Arguments counts the arguments of a resource and of the blocks in it.
func Arguments(b *hclsyntax.Block) int {
	n := len(b.Body.Attributes)
	for _, nested := range b.Body.Blocks {
		n += Arguments(nested)
	}
	return n
}

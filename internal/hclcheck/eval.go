package hclcheck

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Evaluated is a module with the values of its variables.
type Evaluated struct {
	Outputs map[string]cty.Value

	// Resources are by address: an object, or with count or for_each a tuple or object of them.
	Resources map[string]cty.Value
	Modules   map[string]*Evaluated

	module *Module
	schema *Schema
	vars   map[string]cty.Value
	values map[string]cty.Value // of locals, by "local.name"
	busy   map[string]bool      // what is being evaluated, so that a cycle is found
}

// Evaluate gives the module's variables values and evaluates all that it has. The error has
// everything that is wrong: with the values, and with the resources.
func (m *Module) Evaluate(schema *Schema, inputs map[string]cty.Value) (*Evaluated, error) {
	e, err := m.begin(schema, inputs)
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, name := range sortedKeys(m.locals) {
		_, err := e.local(name)
		wrong = append(wrong, err)
	}
	for _, address := range sortedKeys(m.Resources) {
		_, err := e.resource(address)
		wrong = append(wrong, err)
	}
	for _, name := range sortedKeys(m.calls) {
		child, err := e.child(name)
		if err == nil {
			child, err = child.module.Evaluate(schema, child.vars)
			e.Modules[name] = child
		}
		wrong = append(wrong, err)
	}
	for _, name := range sortedKeys(m.Outputs) {
		_, err := e.output(name)
		wrong = append(wrong, err)
	}
	return e, unique(wrong)
}

// unique joins errors, each once: what many depend on fails for each of them.
func unique(all []error) error {
	seen := map[string]bool{}
	var once []error
	for _, err := range all {
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			once = append(once, err)
		}
	}
	return errors.Join(once...)
}

func (m *Module) begin(schema *Schema, inputs map[string]cty.Value) (*Evaluated, error) {
	e := &Evaluated{Outputs: map[string]cty.Value{}, Resources: map[string]cty.Value{},
		Modules: map[string]*Evaluated{}, module: m, schema: schema,
		vars: map[string]cty.Value{}, values: map[string]cty.Value{}, busy: map[string]bool{}}
	var wrong []error
	for name := range inputs {
		if m.Variables[name] == nil {
			wrong = append(wrong, fmt.Errorf("%s has no variable %q", m.Dir, name))
		}
	}
	for _, name := range sortedKeys(m.Variables) {
		v := m.Variables[name]
		value, given := inputs[name]
		switch {
		case given:
		case v.Default != nil:
			value = *v.Default
		default:
			wrong = append(wrong, fmt.Errorf("%s: no value for variable %q", m.Dir, name))
			continue
		}
		if v.defaults != nil && !value.IsNull() {
			value = v.defaults.Apply(value)
		}
		value, err := convert.Convert(value, v.Type)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: variable %q: %w", m.Dir, name, err))
			continue
		}
		e.vars[name] = value
	}
	if err := unique(wrong); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(m.Variables) {
		for _, v := range m.Variables[name].Validations {
			wrong = append(wrong, e.validate(name, v))
		}
	}
	return e, unique(wrong)
}

// InvalidError says that a value doesn't meet a variable's validation.
type InvalidError struct{ Variable, Message string }

func (e *InvalidError) Error() string { return fmt.Sprintf("variable %q: %s", e.Variable, e.Message) }

func (e *Evaluated) validate(name string, v Validation) error {
	ok, err := e.value(v.condition)
	if err != nil {
		return err
	}
	message, err := e.value(v.message)
	switch {
	case err != nil:
		return err
	case ok.Type() != cty.Bool || !ok.IsKnown():
		return fmt.Errorf("%s: the validation isn't a condition", v.condition.Range())
	case ok.False():
		return &InvalidError{name, message.AsString()}
	}
	return nil
}

// once evaluates what has a name, and finds what depends on itself.
func (e *Evaluated) once(cache map[string]cty.Value, name string, f func() (cty.Value, error)) (cty.Value, error) {
	if v, ok := cache[name]; ok {
		return v, nil
	}
	if e.busy[name] {
		return cty.NilVal, fmt.Errorf("%s: %s depends on itself", e.module.Dir, name)
	}
	e.busy[name] = true
	defer delete(e.busy, name)
	v, err := f()
	if err == nil {
		cache[name] = v
	}
	return v, err
}

func (e *Evaluated) local(name string) (cty.Value, error) {
	expr, ok := e.module.locals[name]
	if !ok {
		return cty.NilVal, fmt.Errorf("%s: no local.%s", e.module.Dir, name)
	}
	return e.once(e.values, "local."+name, func() (cty.Value, error) { return e.value(expr) })
}

func (e *Evaluated) output(name string) (cty.Value, error) {
	o, ok := e.module.Outputs[name]
	if !ok {
		return cty.NilVal, fmt.Errorf("%s has no output %q", e.module.Dir, name)
	}
	return e.once(e.Outputs, name, func() (cty.Value, error) { return e.value(o.value) })
}

// child is a module that is used, with its variables alone.
func (e *Evaluated) child(name string) (*Evaluated, error) {
	c, ok := e.module.calls[name]
	if !ok {
		return nil, fmt.Errorf("%s: no module.%s", e.module.Dir, name)
	}
	if e.Modules[name] != nil {
		return e.Modules[name], nil
	}
	inputs := map[string]cty.Value{}
	for arg, a := range c.args {
		v, err := e.value(a.Expr)
		if err != nil {
			return nil, err
		}
		inputs[arg] = v
	}
	child, err := c.module.begin(e.schema, inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.at, err)
	}
	e.Modules[name] = child
	return child, nil
}

func (e *Evaluated) resource(address string) (cty.Value, error) {
	block, ok := e.module.Resources[address]
	if !ok {
		return cty.NilVal, fmt.Errorf("%s: no %s", e.module.Dir, address)
	}
	return e.once(e.Resources, address, func() (cty.Value, error) { return e.instances(address, block) })
}

// value evaluates an expression.
func (e *Evaluated) value(expr hcl.Expression) (cty.Value, error) {
	ctx, err := e.context(expr.Variables(), nil)
	if err != nil {
		return cty.NilVal, err
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return v, nil
}

// context evaluates all that is referred to; more are names that are known beside the
// module's.
func (e *Evaluated) context(refs []hcl.Traversal, more map[string]cty.Value) (*hcl.EvalContext, error) {
	tree := map[string]any{}
	for _, ref := range refs {
		if _, ok := more[ref.RootName()]; ok {
			continue
		}
		parts, err := e.resolve(ref)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref.SourceRange(), err)
		}
		at := tree
		for _, p := range parts.path[:len(parts.path)-1] {
			if at[p] == nil {
				at[p] = map[string]any{}
			}
			at = at[p].(map[string]any)
		}
		at[parts.path[len(parts.path)-1]] = parts.value
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: functions}
	for name, v := range tree {
		ctx.Variables[name] = object(v)
	}
	maps.Copy(ctx.Variables, more)
	return ctx, nil
}

func object(v any) cty.Value {
	if v, ok := v.(cty.Value); ok {
		return v
	}
	attrs := map[string]cty.Value{}
	for name, v := range v.(map[string]any) {
		attrs[name] = object(v)
	}
	return cty.ObjectVal(attrs)
}

type resolved struct {
	path  []string
	value cty.Value
}

func (e *Evaluated) resolve(ref hcl.Traversal) (resolved, error) {
	names := []string{ref.RootName()}
	for _, step := range ref[1:] {
		attr, ok := step.(hcl.TraverseAttr)
		if !ok {
			break
		}
		names = append(names, attr.Name)
	}
	need := map[string]int{"var": 2, "local": 2, "path": 2, "module": 3, "data": 3}[names[0]]
	if need == 0 {
		need = 2 // a resource
	}
	if len(names) < need {
		return resolved{}, fmt.Errorf("%q refers to nothing", strings.Join(names, "."))
	}
	r := resolved{path: names[:need]}
	var err error
	switch names[0] {
	case "var":
		var ok bool
		if r.value, ok = e.vars[names[1]]; !ok {
			err = fmt.Errorf("no variable %q", names[1])
		}
	case "local":
		r.value, err = e.local(names[1])
	case "path":
		r.value = cty.StringVal(e.module.Dir)
	case "module":
		var child *Evaluated
		if child, err = e.child(names[1]); err == nil {
			r.value, err = child.output(names[2])
		}
	default:
		r.value, err = e.resource(strings.Join(r.path, "."))
	}
	return r, err
}

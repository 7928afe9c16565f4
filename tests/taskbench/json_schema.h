/* json_schema.h: holds a JSON value against a JSON schema, for the tests of what taskbench writes.
 * Knows the keywords that bench/schema uses, and fails on others, so that none is ignored by
 * mistake. */
#ifndef JSON_SCHEMA_H
#define JSON_SCHEMA_H

#include "json_reader.h"
#include <math.h>
#include <stdio.h>

struct schema_check {
    const struct json *root; /* of the schema, for $ref */
    char error[512];         /* the first violation; "" */
};

static bool schema_holds(struct schema_check *check, const struct json *schema,
                         const struct json *value, const char *path);

static bool schema_fail(struct schema_check *check, const char *path, const char *what)
{
    if (!check->error[0]) {
        snprintf(check->error, sizeof check->error, "%s: %s", path, what);
    }
    return false;
}

static bool json_equal(const struct json *a, const struct json *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case JSON_STRING:
        return strcmp(a->string, b->string) == 0;
    case JSON_NUMBER:
        return a->number == b->number;
    case JSON_BOOL:
        return a->boolean == b->boolean;
    default:
        return a->kind == JSON_NULL;
    }
}

static bool is_of_type(const struct json *value, const char *type)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    bool is_integer = value->kind == JSON_NUMBER && value->number == floor(value->number);
    return strcmp(type, names[value->kind]) == 0 || (is_integer && strcmp(type, "integer") == 0);
}

static bool schema_type(const struct json *type, const struct json *value)
{
    if (type->kind == JSON_STRING) {
        return is_of_type(value, type->string);
    }
    for (size_t i = 0; i < type->n; i++) {
        if (is_of_type(value, type->items[i]->string)) {
            return true;
        }
    }
    return false;
}

static bool schema_enum(const struct json *values, const struct json *value)
{
    for (size_t i = 0; i < values->n; i++) {
        if (json_equal(values->items[i], value)) {
            return true;
        }
    }
    return false;
}

static bool schema_required(struct schema_check *check, const struct json *names,
                            const struct json *value, const char *path)
{
    for (size_t i = 0; value->kind == JSON_OBJECT && i < names->n; i++) {
        if (!json_get(value, names->items[i]->string)) {
            char what[96];
            snprintf(what, sizeof what, "has no member '%.60s'", names->items[i]->string);
            return schema_fail(check, path, what);
        }
    }
    return true;
}

/* Members: by their own schema, else by additionalProperties. */
static bool schema_members(struct schema_check *check, const struct json *schema,
                           const struct json *value, const char *path)
{
    const struct json *properties = json_get(schema, "properties"),
                      *others = json_get(schema, "additionalProperties");
    for (size_t i = 0; value->kind == JSON_OBJECT && i < value->n; i++) {
        char inner[256];
        const struct json *own = json_get(properties, value->keys[i]);
        snprintf(inner, sizeof inner, "%.180s/%.60s", path, value->keys[i]);
        if (!own && others && others->kind == JSON_BOOL && !others->boolean) {
            return schema_fail(check, inner, "is not in the schema");
        }
        own = own ? own : others;
        if (own && own->kind == JSON_OBJECT && !schema_holds(check, own, value->items[i], inner)) {
            return false;
        }
    }
    return true;
}

static bool schema_items(struct schema_check *check, const struct json *schema,
                         const struct json *value, const char *path)
{
    for (size_t i = 0; value->kind == JSON_ARRAY && i < value->n; i++) {
        char inner[256];
        snprintf(inner, sizeof inner, "%.180s/%zu", path, i);
        if (!schema_holds(check, schema, value->items[i], inner)) {
            return false;
        }
    }
    return true;
}

/* "#/$defs/NAME" */
static bool schema_ref(struct schema_check *check, const char *ref, const struct json *value,
                       const char *path)
{
    const char *prefix = "#/$defs/";
    const struct json *target = NULL;
    if (strncmp(ref, prefix, strlen(prefix)) == 0) {
        target = json_get(json_get(check->root, "$defs"), ref + strlen(prefix));
    }
    return target ? schema_holds(check, target, value, path)
                  : schema_fail(check, path, "the schema's $ref leads nowhere");
}

static bool schema_if(struct schema_check *check, const struct json *schema,
                      const struct json *value, const char *path)
{
    struct schema_check quiet = {.root = check->root};
    const struct json *condition = json_get(schema, "if"), *then = json_get(schema, "then");
    return !schema_holds(&quiet, condition, value, path) || schema_holds(check, then, value, path);
}

static bool schema_keyword(struct schema_check *check, const struct json *schema, const char *key,
                           const struct json *rule, const struct json *value, const char *path)
{
    static const char *const silent[] = {
        "$schema", "$id", "$defs", "title", "description", "then", "additionalProperties"};
    if (strcmp(key, "$ref") == 0) {
        return schema_ref(check, rule->string, value, path);
    }
    if (strcmp(key, "type") == 0) {
        return schema_type(rule, value) || schema_fail(check, path, "is of the wrong type");
    }
    if (strcmp(key, "const") == 0) {
        return json_equal(rule, value) || schema_fail(check, path, "is not the one value allowed");
    }
    if (strcmp(key, "enum") == 0) {
        return schema_enum(rule, value) ||
               schema_fail(check, path, "is none of the values allowed");
    }
    if (strcmp(key, "minimum") == 0) {
        return value->kind != JSON_NUMBER || value->number >= rule->number ||
               schema_fail(check, path, "is too small");
    }
    if (strcmp(key, "minItems") == 0) {
        return value->kind != JSON_ARRAY || (double)value->n >= rule->number ||
               schema_fail(check, path, "has too few items");
    }
    if (strcmp(key, "required") == 0) {
        return schema_required(check, rule, value, path);
    }
    if (strcmp(key, "properties") == 0) {
        return schema_members(check, schema, value, path);
    }
    if (strcmp(key, "items") == 0) {
        return schema_items(check, rule, value, path);
    }
    if (strcmp(key, "if") == 0) {
        return schema_if(check, schema, value, path);
    }
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        if (strcmp(key, silent[i]) == 0) {
            return true;
        }
    }
    return schema_fail(check, path, "the schema has a keyword that this validator does not know");
}

static bool schema_holds(struct schema_check *check, const struct json *schema,
                         const struct json *value, const char *path)
{
    bool has_properties = json_get(schema, "properties") != NULL;
    for (size_t i = 0; i < schema->n; i++) {
        if (!schema_keyword(check, schema, schema->keys[i], schema->items[i], value, path)) {
            return false;
        }
    }
    return has_properties || schema_members(check, schema, value, path);
}

#endif

import JSONText

/// The keywords of one schema, parsed and checked.
struct SchemaKeywords: Sendable {
    enum Kind: String, Sendable, CaseIterable {
        case null, boolean, object, array, number, string, integer
    }

    /// A schema that is `true` or `false`.
    var constant: Bool?
    var types: Set<Kind>?
    var enumeration: [JSONValue]?
    var const: JSONValue?
    var reference: String?
    var lists: [String: [Int]] = [:]
    var schemas: [String: Int] = [:]
    var properties: [(key: String, schema: Int)] = []
    var patterns: [(pattern: String, schema: Int)] = []
    var dependentSchemas: [(key: String, schema: Int)] = []
    var dependentRequired: [(key: String, keys: [String])] = []
    var required: [String] = []
    var counts: [String: Int] = [:]
    var bounds: [String: DecimalNumber] = [:]
    var pattern: String?
    var format: String?
    var hasUniqueItems = false

    /// Annotations, which do not restrict values.
    private static let annotations: Set<String> = [
        "$id", "$anchor", "$dynamicAnchor", "$comment", "$defs", "definitions", "title", "description", "default",
        "examples", "example", "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType",
        "contentSchema", "$vocabulary",
    ]
    /// Keywords that cannot be enforced; for some an equivalent is known.
    private static let remedies: [String: String] = [
        "unevaluatedProperties": "Use additionalProperties.", "unevaluatedItems": "Use items.",
        "$dynamicRef": "Use $ref.", "$recursiveRef": "Use $ref.", "additionalItems": "Use items beside prefixItems.",
        "dependencies": "Use dependentRequired or dependentSchemas.", "nullable": "Use a type of [\"…\", \"null\"].",
    ]

    /// - Throws: `GrammarError` with the keyword's place.
    init(_ document: SchemaDocument, _ index: Int) throws(GrammarError) {
        let place = document.places[index]
        switch place.value {
        case .boolean(let value):
            constant = value
            return
        case .object: break
        default:
            throw GrammarError(
                .syntax, "schema", place: place.pointer.isEmpty ? "the root" : place.pointer,
                expected: "an object, true or false",
                found: place.value.summary)
        }
        guard case .object(let members) = place.value else { return }
        for member in members {
            let pointer = place.pointer + "/" + SchemaDocument.escape(member.key)
            let reader = KeywordReader(value: member.value, place: pointer)
            switch member.key {
            case "$schema": try reader.checkDialect()
            case "type": types = try reader.kinds()
            case "enum": enumeration = try reader.array()
            case "const": const = member.value
            case "$ref": reference = try reader.string()
            case "allOf", "anyOf", "oneOf", "prefixItems":
                lists[member.key] = try reader.array().indices.map { document.index("\(pointer)/\($0)")! }
            case "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames":
                if member.key == "items", case .array = member.value {
                    throw reader.failure("a schema", remedy: "Schemas for single items are prefixItems since 2020-12.")
                }
                schemas[member.key] = document.index(pointer)!
            case "properties", "patternProperties", "dependentSchemas":
                let found = try reader.object().map { inner in
                    (inner.key, document.index(pointer + "/" + SchemaDocument.escape(inner.key))!)
                }
                switch member.key {
                case "properties": properties = found
                case "patternProperties": patterns = found
                default: dependentSchemas = found
                }
            case "required": required = try reader.strings()
            case "dependentRequired":
                for inner in try reader.object() {
                    let reader = KeywordReader(
                        value: inner.value, place: pointer + "/" + SchemaDocument.escape(inner.key))
                    dependentRequired.append((inner.key, try reader.strings()))
                }
            case "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
                "maxProperties":
                counts[member.key] = try reader.count()
            case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
                bounds[member.key] = try reader.number()
            case "pattern": pattern = try reader.string()
            case "format": format = try reader.string()
            case "uniqueItems":
                guard case .boolean(let value) = member.value else { throw reader.failure("true or false") }
                hasUniqueItems = value
            case _ where Self.annotations.contains(member.key) || member.key.hasPrefix("x-"): break
            default:
                throw GrammarError(
                    .unsupported, "schema", place: pointer, expected: "a keyword that can be enforced",
                    found: member.key, remedy: Self.remedies[member.key])
            }
        }
    }
}

/// Parses the value of one keyword.
private struct KeywordReader {
    let value: JSONValue
    let place: String

    func failure(_ expected: String, remedy: String? = nil) -> GrammarError {
        GrammarError(.syntax, "schema", place: place, expected: expected, found: value.summary, remedy: remedy)
    }

    func string() throws(GrammarError) -> String {
        guard let text = value.string else { throw failure("a string") }
        return text
    }

    /// Earlier drafts define the supported keywords alike; keywords with another meaning are refused individually.
    func checkDialect() throws(GrammarError) {
        let versions = ["draft/2020-12", "draft/2019-09", "draft-07", "draft-06"]
        let known = versions.flatMap { version in
            ["http", "https"].flatMap {
                ["\($0)://json-schema.org/\(version)/schema", "\($0)://json-schema.org/\(version)/schema#"]
            }
        }
        guard let uri = value.string, known.contains(uri) else {
            throw GrammarError(
                .unsupported, "schema", place: place, expected: "https://json-schema.org/draft/2020-12/schema",
                found: value.summary)
        }
    }

    func array() throws(GrammarError) -> [JSONValue] {
        guard case .array(let values) = value else { throw failure("an array") }
        return values
    }

    func object() throws(GrammarError) -> [JSONValue.Member] {
        guard case .object(let members) = value else { throw failure("an object") }
        return members
    }

    func strings() throws(GrammarError) -> [String] {
        var texts: [String] = []
        for value in try array() {
            guard let text = value.string else { throw failure("an array of strings") }
            texts.append(text)
        }
        return texts
    }

    func count() throws(GrammarError) -> Int {
        switch value {
        case .integer(let count) where count >= 0: return count
        case .number(let number) where number >= 0 && number < 1e15 && number.rounded() == number: return Int(number)
        default: throw failure("an integer of 0 or more")
        }
    }

    func number() throws(GrammarError) -> DecimalNumber {
        guard let number = DecimalNumber(value) else { throw failure("a number") }
        return number
    }

    func kinds() throws(GrammarError) -> Set<SchemaKeywords.Kind> {
        let names: [JSONValue] = if case .array(let values) = value { values } else { [value] }
        var kinds: Set<SchemaKeywords.Kind> = []
        for name in names {
            guard let kind = name.string.flatMap(SchemaKeywords.Kind.init) else {
                throw failure(
                    "\(SchemaKeywords.Kind.allCases.map(\.rawValue).joined(separator: ", ")) or an array of them")
            }
            kinds.insert(kind)
        }
        return kinds
    }
}

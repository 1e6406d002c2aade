import JSONText

extension Grammar {
    /// The JSON texts of the values that a JSON Schema 2020-12 describes, each in one spelling: on one line, separated
    /// by `", "` and `": "`, members in the order of the schema and others after them, without duplicate keys, strings
    /// with minimal escapes.
    ///
    /// - Throws: `GrammarError`; its place is the JSON pointer of the keyword.
    package init(schema: JSONValue) throws(GrammarError) {
        let network = try CompilationEffort.limit { () throws(GrammarError) in
            var compiler = SchemaCompiler(SchemaDocument(schema))
            return try compiler.network()
        }
        self.init(network)
    }
}

/// Compiles a schema to a network: one rule for each set of values.
///
/// A set is a `Formula`. For strings and numbers it becomes a regular language; for arrays and objects it is converted
/// to disjunctive form, and each clause, a conjunction of keywords, becomes one rule. So the network needs no
/// backtracking, and negation is free if unused.
struct SchemaCompiler {
    private(set) var document: SchemaDocument
    let spelling: ValueSpelling
    var builder = NetworkBuilder()
    /// Whether `oneOf` is treated as `anyOf`, to test whether two schemas have a common value.
    private let approximates: Bool
    private let nodeLimit: Int

    private var keywords: [Int: SchemaKeywords] = [:]
    private var expansions: [Int: Formula] = [:]
    private var open: Set<Int> = []
    private var rules: [Formula: Int32] = [:]
    private var pending: [Formula] = []
    private var strings: [Int: ByteAutomaton] = [:]
    private var patterns: [String: ByteAutomaton] = [:]
    private var formulaStrings: [Formula: ByteAutomaton] = [:]
    private var numbers: [Int: NumberSet] = [:]
    private var languages: [ByteAutomaton: Int32] = [:]
    private var countedLanguages: [ByteAutomaton: Int32] = [:]
    var arrayRules: [ArrayClause: Int32] = [:]
    var objectRules: [ObjectClause: Int32] = [:]
    private var anyString: ByteAutomaton?

    init(
        _ document: SchemaDocument, _ spelling: ValueSpelling = .json, approximates: Bool = false,
        nodeLimit: Int = NetworkBuilder.nodeLimit
    ) {
        (self.document, self.spelling) = (document, spelling)
        (self.approximates, self.nodeLimit) = (approximates, nodeLimit)
    }

    mutating func network() throws(GrammarError) -> Network {
        guard let network = try network(of: .schema(0)) else {
            throw GrammarError(
                .unsatisfiable, "schema", place: "the root", expected: "some value that obeys it", found: "none")
        }
        return network
    }

    /// - Returns: nil if no value matches the formula.
    private mutating func network(of formula: Formula) throws(GrammarError) -> Network? {
        let start = try rule(formula)
        try fillPending()
        return builder.network(start: start)
    }

    /// Builds the rules that other rules call.
    mutating func fillPending() throws(GrammarError) {
        while let next = pending.popLast() { try fill(next) }
    }

    /// The start node of the values of a formula.
    mutating func rule(_ formula: Formula) throws(GrammarError) -> Int32 {
        if let start = rules[formula] { return start }
        try checkSize("the root")
        let start = builder.node()
        rules[formula] = start
        pending.append(formula)
        return start
    }

    func checkSize(_ place: String) throws(GrammarError) {
        guard builder.nodeCount < nodeLimit else { throw tooLarge(place, "\(nodeLimit) places") }
        try limited(place) { try CompilationEffort.spend(100) }
    }

    func tooLarge(_ place: String, _ limit: String) -> GrammarError {
        GrammarError(.tooLarge, "schema", place: place, expected: "at most \(limit)", found: "more")
    }

    private mutating func fill(_ formula: Formula) throws(GrammarError) {
        let start = rules[formula]!
        if let words = language(try words(formula)) { builder.jump(start, to: words) }
        let set = try numbers(formula)
        let digits = try limited("the root") { try set.texts() }
        if let numbers = language(digits) { builder.jump(start, to: numbers) }
        if let strings = language(try strings(formula)) { builder.jump(start, to: strings) }
        for clause in try arrays(formula) {
            if let rule = try arrayRule(clause) { builder.jump(start, to: rule) }
        }
        for clause in try objects(formula) {
            if let rule = try objectRule(clause) { builder.jump(start, to: rule) }
        }
    }

    /// The texts `null`, `true` and `false` that match a formula.
    private mutating func words(_ formula: Formula) throws(GrammarError) -> ByteAutomaton {
        var texts: [[UInt8]] = []
        for value: JSONValue in [.null, .boolean(true), .boolean(false)] where try holds(formula, for: value) {
            texts.append(Array(value.json.utf8))
        }
        return ByteAutomaton(texts: texts)
    }

    /// The texts of a formula that has no arrays and objects, and one text per value.
    ///
    /// - Returns: nil for other formulas.
    mutating func distinctTexts(_ formula: Formula, at place: String) throws(GrammarError) -> ByteAutomaton? {
        let numbers = try numbers(formula)
        guard try arrays(formula).isEmpty, try objects(formula).isEmpty else { return nil }
        guard numbers.decimals.isEmpty || numbers.isWrittenUniquely else { return nil }
        let (words, strings) = (try words(formula), try strings(formula))
        return try limited(place) { try words.union(strings).union(numbers.texts()) }
    }

    mutating func language(_ automaton: ByteAutomaton, countsTexts: Bool = false) -> Int32? {
        if let known = countsTexts ? countedLanguages[automaton] : languages[automaton] { return known }
        guard let start = builder.rule(automaton, countsTexts: countsTexts) else { return nil }
        if countsTexts { countedLanguages[automaton] = start } else { languages[automaton] = start }
        return start
    }

    func limited<Result>(
        _ place: String, _ body: () throws -> Result
    ) throws(GrammarError) -> Result {
        do { return try body() } catch let error as GrammarError { throw error } catch {
            throw tooLarge(place, "200000 states")
        }
    }

    // MARK: Schemas

    mutating func keywords(_ schema: Int) throws(GrammarError) -> SchemaKeywords {
        if let known = keywords[schema] { return known }
        let read = try SchemaKeywords(document, schema)
        keywords[schema] = read
        return read
    }

    /// The values of a schema.
    mutating func formula(_ schema: Int) throws(GrammarError) -> Formula {
        switch try keywords(schema).constant {
        case true: .anything
        case false: .nothing
        case nil: .schema(schema)
        }
    }

    func pointer(_ schema: Int, _ keyword: String) -> String { document.places[schema].pointer + "/" + keyword }

    /// The conjunction of a schema's keywords.
    private mutating func expand(_ schema: Int) throws(GrammarError) -> Formula {
        if let known = expansions[schema] { return known }
        let read = try keywords(schema)
        if let constant = read.constant { return constant ? .anything : .nothing }
        var parts: [Formula] = []
        if let types = read.types { parts.append(.keyword(.types(types))) }
        if let const = read.const { parts.append(.const(const)) }
        if let values = read.enumeration { parts.append(.disjunction(values.map(Formula.const))) }
        if read.counts["minLength"] != nil || read.counts["maxLength"] != nil || read.pattern != nil
            || read.format != nil
        {
            parts.append(.keyword(.string(schema)))
        }
        if !read.bounds.isEmpty || Self.numberFormats.contains(read.format ?? "") {
            parts.append(.keyword(.number(schema)))
        }
        if read.lists["prefixItems"] != nil || read.schemas["items"] != nil { parts.append(.keyword(.items(schema))) }
        if read.counts["minItems"] != nil || read.counts["maxItems"] != nil {
            parts.append(
                .keyword(.itemCount(min: read.counts["minItems"] ?? 0, max: read.counts["maxItems"])))
        }
        if let contains = read.schemas["contains"] {
            parts.append(
                .keyword(
                    .contains(
                        .schema(contains), min: read.counts["minContains"] ?? 1, max: read.counts["maxContains"])))
        }
        if read.hasUniqueItems { parts.append(.keyword(.uniqueItems(place: pointer(schema, "uniqueItems")))) }
        if !read.properties.isEmpty || !read.patterns.isEmpty || read.schemas["additionalProperties"] != nil {
            parts.append(.keyword(.members(schema)))
        }
        if !read.required.isEmpty { parts.append(.keyword(.required(read.required))) }
        if read.counts["minProperties"] != nil || read.counts["maxProperties"] != nil {
            parts.append(
                .keyword(.memberCount(min: read.counts["minProperties"] ?? 0, max: read.counts["maxProperties"])))
        }
        if let names = read.schemas["propertyNames"] { parts.append(.keyword(.names(.schema(names)))) }
        for (key, keys) in read.dependentRequired {
            parts.append(.disjunction([.keyword(.absent(key)), .keyword(.required(keys))]))
        }
        for (key, inner) in read.dependentSchemas {
            parts.append(.disjunction([.keyword(.absent(key)), .schema(inner)]))
        }
        for inner in read.lists["allOf"] ?? [] { parts.append(.schema(inner)) }
        if let inner = read.lists["anyOf"] { parts.append(.disjunction(inner.map(Formula.schema))) }
        if let inner = read.lists["oneOf"] { parts.append(try exactlyOne(inner.map(Formula.schema))) }
        if let inner = read.schemas["not"] { parts.append(.not(.schema(inner))) }
        if let condition = read.schemas["if"] {
            parts.append(
                .disjunction([
                    .conjunction([.schema(condition), read.schemas["then"].map(Formula.schema) ?? .anything]),
                    .conjunction([.not(.schema(condition)), read.schemas["else"].map(Formula.schema) ?? .anything]),
                ]))
        }
        if let reference = read.reference {
            guard let target = document.resolve(reference, from: document.places[schema]) else {
                throw GrammarError(
                    .unsupported, "schema", place: pointer(schema, "$ref"), expected: "a schema within this document",
                    found: "\"\(reference)\"", remedy: "Copy what it refers to into $defs.")
            }
            parts.append(.schema(target))
        }
        let formula = Formula.conjunction(parts)
        expansions[schema] = formula
        return formula
    }

    /// Applies `body` to the expansion of a schema; fails for a schema that contains itself without nesting.
    private mutating func within<Result>(
        _ schema: Int, _ body: (inout SchemaCompiler, Formula) throws(GrammarError) -> Result
    ) throws(GrammarError) -> Result {
        guard open.insert(schema).inserted else {
            let pointer = document.places[schema].pointer
            throw GrammarError(
                .unsupported, "schema", place: pointer.isEmpty ? "the root" : pointer,
                expected: "a schema that does not apply itself to the same value", found: "one that does")
        }
        defer { open.remove(schema) }
        let formula = try expand(schema)
        return try body(&self, formula)
    }

    /// The values of exactly one of several formulas. Omits negations of formulas that have no common value.
    private mutating func exactlyOne(_ formulas: [Formula]) throws(GrammarError) -> Formula {
        if approximates { return .atLeast(.disjunction(formulas)) }
        var overlaps: [[Int]] = formulas.map { _ in [] }
        for first in formulas.indices {
            for second in formulas.indices.dropFirst(first + 1) {
                var check = SchemaCompiler(document, spelling, approximates: true, nodeLimit: 50_000)
                let isDisjoint: Bool
                do {
                    isDisjoint = try check.network(of: .conjunction([formulas[first], formulas[second]])) == nil
                } catch let error where error.code == .tooLarge {
                    isDisjoint = false
                }
                guard !isDisjoint else { continue }
                overlaps[first].append(second)
                overlaps[second].append(first)
            }
        }
        return .disjunction(
            formulas.indices.map { index in
                .conjunction([formulas[index]] + overlaps[index].map { formulas[$0].negated })
            })
    }

    // MARK: Single values

    /// Whether `null`, `true` or `false` matches a formula.
    private mutating func holds(
        _ formula: Formula, for value: JSONValue, isNegated: Bool = false
    ) throws(GrammarError) -> Bool {
        switch formula {
        case .anything: return !isNegated
        case .nothing: return isNegated
        case .schema(let schema):
            return try within(schema) { (self: inout SchemaCompiler, inner) throws(GrammarError) in
                try self.holds(inner, for: value, isNegated: isNegated)
            }
        case .const(let const): return (const == value) != isNegated
        case .keyword(.types(let kinds)): return kinds.contains(value == .null ? .null : .boolean) != isNegated
        case .keyword: return !isNegated
        case .not(let inner): return try holds(inner, for: value, isNegated: !isNegated)
        case .atLeast(let inner):
            if isNegated { return true }
            return try holds(inner, for: value)
        case .all(let parts), .any(let parts):
            let isConjunction = formula.isConjunction != isNegated
            for part in parts where try holds(part, for: value, isNegated: isNegated) != isConjunction {
                return !isConjunction
            }
            return isConjunction
        }
    }

    // MARK: Strings

    mutating func allStrings() throws(GrammarError) -> ByteAutomaton {
        if let anyString { return anyString }
        let made = try limited("the root") {
            try ByteAutomaton.counted(min: 0, max: nil, spelling.encoding, quote: spelling.quote)
        }
        anyString = made
        return made
    }

    /// The strings of a formula, as JSON texts.
    mutating func strings(_ formula: Formula) throws(GrammarError) -> ByteAutomaton {
        if let known = formulaStrings[formula] { return known }
        let found = try strings(formula, isNegated: false)
        formulaStrings[formula] = found
        return found
    }

    private mutating func strings(_ formula: Formula, isNegated: Bool) throws(GrammarError) -> ByteAutomaton {
        let every = try allStrings()
        switch formula {
        case .anything: return isNegated ? .empty : every
        case .nothing: return isNegated ? every : .empty
        case .schema(let schema):
            return try within(schema) { (self: inout SchemaCompiler, inner) throws(GrammarError) in
                try self.strings(inner, isNegated: isNegated)
            }
        case .not(let inner): return try strings(inner, isNegated: !isNegated)
        case .atLeast(let inner): return isNegated ? every : try strings(inner, isNegated: false)
        case .const(let value):
            let texts = ByteAutomaton(texts: value.string.map { [spelling.quoted($0)] } ?? [])
            return isNegated ? try limited("the root") { try every.subtracting(texts) } : texts
        case .keyword(let keyword):
            let language: ByteAutomaton =
                switch keyword {
                case .types(let kinds): kinds.contains(.string) ? every : .empty
                case .string(let schema): try strings(schema: schema)
                default: every
                }
            return isNegated ? try limited("the root") { try every.subtracting(language) } : language
        case .all(let parts), .any(let parts):
            let isIntersection = formula.isConjunction != isNegated
            var result: ByteAutomaton? = isIntersection ? every : .empty
            // Many constants at once: pairwise unions would take quadratic time.
            let texts = isIntersection ? [] : parts.compactMap { $0.constantString }
            if !isNegated, texts.count > 1 { result = ByteAutomaton(texts: texts.map(spelling.quoted)) }
            for part in parts {
                if !isNegated, texts.count > 1, case .const = part { continue }
                let next = try strings(part, isNegated: isNegated)
                if isIntersection, next == every { continue }
                if isIntersection, result! == every {
                    result = next
                    continue
                }
                result = try limited("the root") {
                    isIntersection ? try result!.intersection(next) : try result!.union(next)
                }
                if isIntersection, result!.isEmpty { break }
            }
            return result!
        }
    }

    private mutating func strings(schema: Int) throws(GrammarError) -> ByteAutomaton {
        if let known = strings[schema] { return known }
        let read = try keywords(schema)
        var language = try allStrings()
        let lengths = (read.counts["minLength"] ?? 0, read.counts["maxLength"])
        if lengths.0 > 0 || lengths.1 != nil {
            let keyword = read.counts["maxLength"] == nil ? "minLength" : "maxLength"
            if let longest = lengths.1, longest < lengths.0 { return .empty }
            guard max(lengths.0, lengths.1 ?? 0) <= 10_000 else {
                throw GrammarError(
                    .tooLarge, "schema", place: pointer(schema, keyword), expected: "at most 10000",
                    found: "\(max(lengths.0, lengths.1 ?? 0))")
            }
            language = try limited(pointer(schema, keyword)) {
                try ByteAutomaton.counted(
                    min: lengths.0, max: lengths.1, spelling.encoding, quote: spelling.quote)
            }
        }
        if let text = read.pattern {
            let pattern = try pattern(text, at: pointer(schema, "pattern"))
            language = try limited(pointer(schema, "pattern")) { try language.intersection(pattern) }
        }
        if let format = read.format, !Self.numberFormats.contains(format) {
            let place = pointer(schema, "format")
            guard let text = StringFormat.expression(format) else {
                throw GrammarError(
                    .unsupported, "schema", place: place, expected: "a format that can be enforced",
                    found: "\"\(format)\"", remedy: "Leave it out, or say the same with pattern.")
            }
            let expression = try pattern("^(\(text))$", at: place)
            language = try limited(place) { try language.intersection(expression) }
        }
        strings[schema] = language
        return language
    }

    /// The JSON strings in which a regular expression finds a match.
    mutating func pattern(_ text: String, at place: String) throws(GrammarError) -> ByteAutomaton {
        if let known = patterns[text] { return known }
        let expression: RegularExpression
        do { expression = try RegularExpression(parsing: text) } catch {
            throw GrammarError(
                error.code, "schema", place: place, expected: "\(error.expected) at \(error.place)", found: error.found,
                remedy: error.remedy)
        }
        let made = try limited(place) {
            try ByteAutomaton(
                expression, spelling.encoding, isSearch: true, prefix: [spelling.quote], suffix: [spelling.quote])
        }
        patterns[text] = made
        return made
    }

    // MARK: Numbers

    /// Formats of OpenAPI that restrict integers.
    private static let numberFormats: Set<String> = ["int32", "int64", "float", "double"]

    mutating func numbers(_ formula: Formula) throws(GrammarError) -> NumberSet {
        try numbers(formula, isNegated: false)
    }

    private mutating func numbers(_ formula: Formula, isNegated: Bool) throws(GrammarError) -> NumberSet {
        switch formula {
        case .schema(let schema):
            return try within(schema) { (self: inout SchemaCompiler, inner) throws(GrammarError) in
                try self.numbers(inner, isNegated: isNegated)
            }
        case .not(let inner): return try numbers(inner, isNegated: !isNegated)
        case .atLeast(let inner) where !isNegated: return try numbers(inner, isNegated: false)
        case .all(let parts), .any(let parts):
            let isIntersection = formula.isConjunction != isNegated
            var result: NumberSet?
            for part in parts {
                let next = try numbers(part, isNegated: isNegated)
                result = try limited("the root") {
                    guard let result else { return next }
                    return isIntersection ? try result.intersection(next) : try result.union(next)
                }
            }
            if let result { return result }
            return isIntersection ? try limited("the root") { try NumberSet.all() } : .none
        default:
            let set: NumberSet
            do { set = try simpleNumbers(formula) } catch let error as GrammarError { throw error } catch {
                throw tooLarge("the root", "200000 states")
            }
            return isNegated ? try limited("the root") { try set.complement() } : set
        }
    }

    private mutating func simpleNumbers(_ formula: Formula) throws -> NumberSet {
        switch formula {
        case .nothing: return .none
        case .const(let value):
            guard let number = DecimalNumber(value) else { return .none }
            return try NumberSet(.equal, number)
        case .keyword(.types(let kinds)):
            if kinds.contains(.number) { return try .all() }
            return kinds.contains(.integer) ? try .integers() : .none
        case .keyword(.number(let schema)):
            if let known = numbers[schema] { return known }
            let made = try numbers(schema: schema)
            numbers[schema] = made
            return made
        case .atLeast: return .none  // Its negation excludes nothing.
        default: return try .all()
        }
    }

    private mutating func numbers(schema: Int) throws -> NumberSet {
        let read = try keywords(schema)
        var set = try NumberSet.all()
        let relations: [(String, NumberSet.Relation)] = [
            ("minimum", .atLeast), ("maximum", .atMost), ("exclusiveMinimum", .greater), ("exclusiveMaximum", .less),
        ]
        for (keyword, relation) in relations {
            if let bound = read.bounds[keyword] { set = try set.intersection(NumberSet(relation, bound)) }
        }
        if let divisor = read.bounds["multipleOf"] {
            guard let multiples = try NumberSet(multiplesOf: divisor) else {
                throw GrammarError(
                    .unsupported, "schema", place: pointer(schema, "multipleOf"),
                    expected: "a number above 0 of at most five digits",
                    found: document.places[schema].value["multipleOf"]!.summary)
            }
            set = try set.intersection(multiples)
        }
        if read.format == "int32" || read.format == "int64" {
            let range = read.format == "int32" ? Int(Int32.min)...Int(Int32.max) : Int.min...Int.max
            set = try set.intersection(NumberSet(.atLeast, DecimalNumber(.integer(range.lowerBound))!))
            set = try set.intersection(NumberSet(.atMost, DecimalNumber(.integer(range.upperBound))!))
            set = try set.intersection(.integers())
        }
        return set
    }

    // MARK: Arrays and objects

    private static let clauseLimit = 1000

    mutating func arrays(_ formula: Formula) throws(GrammarError) -> [ArrayClause] {
        try clauses(formula, isNegated: false) { compiler, leaf, isNegated throws(GrammarError) in
            try compiler.arrayClauses(leaf, isNegated: isNegated)
        }
    }

    mutating func objects(_ formula: Formula) throws(GrammarError) -> [ObjectClause] {
        try clauses(formula, isNegated: false) { compiler, leaf, isNegated throws(GrammarError) in
            try compiler.objectClauses(leaf, isNegated: isNegated)
        }
    }

    /// The disjunctive form of a formula: a value matches if one of the clauses holds.
    ///
    /// - Parameter leaf: the clauses of a constant or a keyword.
    private mutating func clauses<Clause: SchemaClause>(
        _ formula: Formula, isNegated: Bool,
        _ leaf: (inout SchemaCompiler, Formula, Bool) throws(GrammarError) -> [Clause]
    ) throws(GrammarError) -> [Clause] {
        switch formula {
        case .anything: return isNegated ? [] : [Clause()]
        case .nothing: return isNegated ? [Clause()] : []
        case .schema(let schema):
            return try within(schema) { (self: inout SchemaCompiler, inner) throws(GrammarError) in
                try self.clauses(inner, isNegated: isNegated, leaf)
            }
        case .not(let inner): return try clauses(inner, isNegated: !isNegated, leaf)
        case .atLeast(let inner): return isNegated ? [Clause()] : try clauses(inner, isNegated: false, leaf)
        case .const, .keyword: return try leaf(&self, formula, isNegated)
        case .all(let parts), .any(let parts):
            let isConjunction = formula.isConjunction != isNegated
            var result: [Clause] = isConjunction ? [Clause()] : []
            for part in parts {
                let next = try clauses(part, isNegated: isNegated, leaf)
                if isConjunction {
                    var seen: Set<Clause> = []
                    var products: [Clause] = []
                    for first in result {
                        for second in next {
                            guard let both = first.joined(second), seen.insert(both).inserted else { continue }
                            products.append(both)
                        }
                    }
                    result = products
                    if result.isEmpty { return [] }
                } else {
                    for clause in next where !result.contains(clause) { result.append(clause) }
                }
                guard result.count <= Self.clauseLimit else {
                    throw tooLarge("the root", "\(Self.clauseLimit) alternatives of one value")
                }
            }
            return result
        }
    }
}

/// A conjunction of keywords.
protocol SchemaClause: Hashable {
    /// The clause that every value satisfies.
    init()
    /// - Returns: nil if the two are contradictory.
    func joined(_ other: Self) -> Self?
}

extension Formula {
    fileprivate var isConjunction: Bool { if case .all = self { true } else { false } }

    fileprivate var constantString: String? {
        guard case .const(let value) = self else { return nil }
        return value.string
    }
}

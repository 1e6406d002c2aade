import JSONText

/// Constraints on an object.
struct ObjectClause: SchemaClause {
    struct Key: Hashable {
        let name: String
        let formula: Formula
    }

    struct Pattern: Hashable {
        let text: String
        /// Its JSON pointer.
        let place: String
        let formula: Formula
    }

    /// `properties`, `patternProperties` and `additionalProperties` of one schema.
    struct Members: Hashable {
        var keys: [Key] = []
        var patterns: [Pattern] = []
        var rest: Formula = .anything
    }

    /// A member with such a key and value must exist.
    struct Witness: Hashable {
        enum Keys: Hashable {
            case pattern(Pattern)
            /// Keys that these members do not name.
            case rest(Members)
            case notNamed(Formula)
        }
        let keys: Keys
        let value: Formula
    }

    var members: [Members] = []
    var required: [String] = []
    var absent: [String] = []
    var min = 0
    var max: Int?
    var names: [Formula] = []
    var witnesses: [Witness] = []

    func joined(_ other: ObjectClause) -> ObjectClause? {
        func union<Element: Equatable>(_ first: [Element], _ second: [Element]) -> [Element] {
            first + second.filter { !first.contains($0) }
        }
        var both = self
        both.members = union(members, other.members)
        both.required = union(required, other.required)
        both.absent = union(absent, other.absent)
        both.names = union(names, other.names)
        both.witnesses = union(witnesses, other.witnesses)
        both.min = Swift.max(min, other.min)
        both.max = [max, other.max].compactMap(\.self).min()
        if both.required.contains(where: both.absent.contains) { return nil }
        if let max = both.max, max < Swift.max(both.min, both.required.count) { return nil }
        return both
    }
}

extension SchemaCompiler {
    /// The clauses of a constant or a keyword; an object matches it if at least one clause holds.
    mutating func objectClauses(_ leaf: Formula, isNegated: Bool) throws(GrammarError) -> [ObjectClause] {
        let always = [ObjectClause()]
        func member(_ key: String, _ formula: Formula) -> ObjectClause {
            ObjectClause(members: [.init(keys: [.init(name: key, formula: formula)])], required: [key])
        }
        switch leaf {
        case .const(.object(let values)):
            if isNegated {
                return values.map { ObjectClause(absent: [$0.key]) }
                    + values.map { member($0.key, Formula.const($0.value).negated) }
                    + [ObjectClause(min: values.count + 1)]
            }
            let keys = values.map { ObjectClause.Key(name: $0.key, formula: .const($0.value)) }
            return [ObjectClause(members: [.init(keys: keys, rest: .nothing)], required: values.map(\.key))]
        case .const: return isNegated ? always : []
        case .keyword(.types(let kinds)): return kinds.contains(.object) != isNegated ? always : []
        case .keyword(.members(let schema)):
            let members = try members(schema)
            guard isNegated else { return [ObjectClause(members: [members])] }
            return members.keys.filter { $0.formula != .anything }.map { member($0.name, $0.formula.negated) }
                + members.patterns.map {
                    ObjectClause(witnesses: [.init(keys: .pattern($0), value: $0.formula.negated)])
                }
                + (members.rest == .anything
                    ? [] : [ObjectClause(witnesses: [.init(keys: .rest(members), value: members.rest.negated)])])
        case .keyword(.required(let keys)):
            return isNegated ? keys.map { ObjectClause(absent: [$0]) } : [ObjectClause(required: unique(keys))]
        case .keyword(.absent(let key)):
            return [isNegated ? ObjectClause(required: [key]) : ObjectClause(absent: [key])]
        case .keyword(.memberCount(let min, let max)):
            guard isNegated else { return [ObjectClause(min: min, max: max)] }
            return (min > 0 ? [ObjectClause(max: min - 1)] : []) + (max.map { [ObjectClause(min: $0 + 1)] } ?? [])
        case .keyword(.names(let formula)):
            return [
                isNegated
                    ? ObjectClause(witnesses: [.init(keys: .notNamed(formula), value: .anything)])
                    : ObjectClause(names: [formula])
            ]
        default: return isNegated ? [] : always
        }
    }

    private func unique(_ keys: [String]) -> [String] {
        var seen: Set<String> = []
        return keys.filter { seen.insert($0).inserted }
    }

    private mutating func members(_ schema: Int) throws(GrammarError) -> ObjectClause.Members {
        let read = try keywords(schema)
        var members = ObjectClause.Members()
        for (key, inner) in read.properties { members.keys.append(.init(name: key, formula: try formula(inner))) }
        for (text, inner) in read.patterns {
            let place = pointer(schema, "patternProperties/" + SchemaDocument.escape(text))
            members.patterns.append(.init(text: text, place: place, formula: try formula(inner)))
        }
        if let rest = read.schemas["additionalProperties"] { members.rest = try formula(rest) }
        return members
    }

    // MARK: Rules

    /// A possible next member.
    private struct Slot {
        let formula: Formula
        /// The witnesses that it can be.
        let witnesses: [Int]
    }

    /// The state within an object.
    private struct Progress: Hashable {
        /// Number of declared keys that are written or skipped.
        var slot = 0
        /// Number of members, saturated.
        var count = 0
        /// Number of undeclared members, if their keys are finitely many.
        var undeclared = 0
        /// Bit set of the witnesses found.
        var witnesses = 0
    }

    /// The start node of the objects that satisfy a clause.
    mutating func objectRule(_ clause: ObjectClause) throws(GrammarError) -> Int32? {
        if let known = objectRules[clause] { return known }
        let start = builder.node(opensContainer: true)
        objectRules[clause] = start
        guard clause.witnesses.count <= 4 else { throw tooLarge("the root", "4 negations of one object") }

        var seen = Set(clause.absent)
        var keys = (clause.members.flatMap(\.keys).map(\.name) + clause.required).filter { seen.insert($0).inserted }
        if spelling.sortsKeys {
            // The order of Jinja's dictsort, as in the templates.
            keys.sort { $0.lowercased().unicodeScalars.lexicographicallyPrecedes($1.lowercased().unicodeScalars) }
        }
        var names: [ByteAutomaton] = []
        for formula in clause.names { names.append(try strings(formula)) }
        var witnessKeys: [ByteAutomaton] = []
        for witness in clause.witnesses { witnessKeys.append(try self.keys(witness.keys)) }

        let declared = clause.members.map { Dictionary(grouping: $0.keys, by: \.name) }
        var slots: [Slot?] = []  // nil: a key that is not allowed
        for key in keys {
            let text = spelling.quoted(key)
            guard names.allSatisfy({ $0.contains(text) }) else {
                slots.append(nil)
                continue
            }
            slots.append(
                Slot(
                    formula: try formula(of: key, text, Array(zip(clause.members, declared))),
                    witnesses: witnessKeys.indices.filter { witnessKeys[$0].contains(text) }))
        }
        let others = try undeclared(clause, excluding: keys, names, witnessKeys)
        try fill(start, clause, keys, slots, others)
        return start
    }

    private mutating func keys(_ keys: ObjectClause.Witness.Keys) throws(GrammarError) -> ByteAutomaton {
        switch keys {
        case .pattern(let pattern): return try self.pattern(pattern.text, at: pattern.place)
        case .notNamed(let formula):
            let (every, named) = (try allStrings(), try strings(formula))
            return try limited("the root") { try every.subtracting(named) }
        case .rest(let members):
            var rest = try allStrings()
            let declared = ByteAutomaton(texts: members.keys.map { [spelling] in spelling.quoted($0.name) })
            rest = try limited("the root") { try rest.subtracting(declared) }
            for pattern in members.patterns {
                let matching = try self.pattern(pattern.text, at: pattern.place)
                rest = try limited(pattern.place) { try rest.subtracting(matching) }
            }
            return rest
        }
    }

    /// The constraint on the value of a declared key.
    ///
    /// - Parameter groups: members, and their keys by name.
    private mutating func formula(
        of key: String, _ text: [UInt8], _ groups: [(ObjectClause.Members, [String: [ObjectClause.Key]])]
    ) throws(GrammarError) -> Formula {
        var parts: [Formula] = []
        for (members, keys) in groups {
            var own = (keys[key] ?? []).map(\.formula)
            for pattern in members.patterns where try self.pattern(pattern.text, at: pattern.place).contains(text) {
                own.append(pattern.formula)
            }
            parts += own.isEmpty ? [members.rest] : own
        }
        return .conjunction(parts)
    }

    /// Undeclared keys, grouped by equal constraints on their values.
    private mutating func undeclared(
        _ clause: ObjectClause, excluding keys: [String], _ names: [ByteAutomaton], _ witnessKeys: [ByteAutomaton]
    ) throws(GrammarError) -> [(language: ByteAutomaton, slot: Slot)] {
        if clause.members.contains(where: { $0.patterns.isEmpty && $0.rest == .nothing }) { return [] }
        if spelling.closesObjects, clause.members.contains(where: { !$0.keys.isEmpty }),
            clause.members.allSatisfy({ $0.patterns.isEmpty && $0.rest == .anything })
        {
            return []
        }
        var rest = try allStrings()
        for language in names { rest = try limited("the root") { try rest.intersection(language) } }
        let excluded = ByteAutomaton(texts: (keys + clause.absent).map(spelling.quoted))
        rest = try limited("the root") { try rest.subtracting(excluded) }
        guard !rest.isEmpty else { return [] }

        struct Class {
            var language: ByteAutomaton
            var patterns: Set<String> = []
            var witnesses: [Int] = []
        }
        var classes = [Class(language: rest)]
        func split(
            _ language: ByteAutomaton, _ place: String, _ mark: (inout Class) -> Void
        ) throws(GrammarError) {
            var parts: [Class] = []
            for old in classes {
                var inside = old
                inside.language = try limited(place) { try old.language.intersection(language) }
                mark(&inside)
                if !inside.language.isEmpty { parts.append(inside) }
                var outside = old
                outside.language = try limited(place) { try old.language.subtracting(language) }
                if !outside.language.isEmpty { parts.append(outside) }
            }
            guard parts.count <= 256 else { throw tooLarge(place, "256 combinations of patterns") }
            classes = parts
        }
        var seen: Set<String> = []
        for pattern in clause.members.flatMap(\.patterns) where seen.insert(pattern.text).inserted {
            let language = try self.pattern(pattern.text, at: pattern.place)
            try split(language, pattern.place) { $0.patterns.insert(pattern.text) }
        }
        for (index, language) in witnessKeys.enumerated() {
            try split(language, "the root") { $0.witnesses.append(index) }
        }
        var slots: [(language: ByteAutomaton, slot: Slot)] = []
        for keys in classes {
            let parts = clause.members.flatMap { members in
                let own = members.patterns.filter { keys.patterns.contains($0.text) }.map(\.formula)
                return own.isEmpty ? [members.rest] : own
            }
            let formula = Formula.conjunction(parts)
            let language = try limited("the root") { try spelling.keys(keys.language) }
            guard formula != .nothing, !language.isEmpty else { continue }
            slots.append((language, Slot(formula: formula, witnesses: keys.witnesses)))
        }
        return slots
    }

    private mutating func fill(
        _ start: Int32, _ clause: ObjectClause, _ keys: [String], _ slots: [Slot?],
        _ others: [(language: ByteAutomaton, slot: Slot)]
    ) throws(GrammarError) {
        let cap = Swift.max(1, clause.min, clause.max ?? 0)
        let required = Set(clause.required)
        let counts = others.map { $0.language.count(below: 1000) }
        // If undeclared keys are finitely many, undeclared members are counted: a key must be left wherever one may
        // follow.
        let otherLimit = counts.contains { $0 == nil } ? nil : counts.reduce(0) { $0 + $1! }
        var otherStarts: [Int32] = []
        for other in others { otherStarts.append(language(other.language, countsTexts: true)!) }

        let first = Progress()
        var nodes: [Progress: Int32] = [first: builder.node()]
        var work = [first]
        builder.edge(start, 0x7B...0x7B, to: nodes[first]!)
        let end = builder.node(returns: true)
        let allWitnesses = (1 << clause.witnesses.count) - 1
        while let progress = work.popLast() {
            try checkSize("the root")
            let node = nodes[progress]!
            func target(_ next: Progress) -> Int32 {
                if let known = nodes[next] { return known }
                let made = builder.node()
                nodes[next] = made
                work.append(next)
                return made
            }
            /// Writes the value of a member and updates the state.
            func value(_ slot: Slot, from place: Int32, _ next: Progress) throws(GrammarError) {
                let open = slot.witnesses.filter { progress.witnesses & 1 << $0 == 0 }
                for subset in 0..<(1 << open.count) {
                    let chosen = open.enumerated().filter { subset & 1 << $0.offset != 0 }.map(\.element)
                    let formula = Formula.conjunction(
                        [slot.formula] + chosen.map { clause.witnesses[$0].value })
                    guard formula != .nothing else { continue }
                    var next = next
                    for witness in chosen { next.witnesses |= 1 << witness }
                    builder.call(place, try rule(formula), to: target(next))
                }
            }
            let separator = progress.count == 0 ? [] : spelling.separator
            let hasRoom = progress.count < clause.max ?? Int.max
            var next = progress
            next.count = Swift.min(progress.count + 1, cap)
            if progress.slot < keys.count {
                let key = keys[progress.slot]
                next.slot += 1
                if !required.contains(key) {
                    var skipped = progress
                    skipped.slot += 1
                    builder.jump(node, to: target(skipped))
                }
                if let slot = slots[progress.slot], hasRoom {
                    try value(slot, from: builder.text(node, separator + spelling.key(key) + spelling.colon), next)
                }
                continue
            }
            if progress.count >= clause.min, progress.witnesses == allWitnesses {
                builder.edge(node, 0x7D...0x7D, to: end)
            }
            guard hasRoom, progress.undeclared < otherLimit ?? Int.max else { continue }
            if otherLimit != nil { next.undeclared += 1 }
            for (other, keyStart) in zip(others, otherStarts) {
                let afterKey = builder.node()
                builder.call(builder.text(node, separator), keyStart, to: afterKey, isDistinct: true)
                try value(other.slot, from: builder.text(afterKey, spelling.colon), next)
            }
        }
    }
}

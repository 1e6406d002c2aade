import JSONText

/// Constraints on an array.
struct ArrayClause: SchemaClause {
    struct Items: Hashable {
        let prefix: [Formula]
        let rest: Formula

        func formula(at index: Int) -> Formula { index < prefix.count ? prefix[index] : rest }
    }

    /// Bounds on the number of items from `start` on that match a formula.
    struct Count: Hashable {
        let start: Int
        let formula: Formula
        let min: Int
        let max: Int?
    }

    var items: [Items] = []
    var min = 0
    var max: Int?
    var counts: [Count] = []
    /// The place of `uniqueItems`, if it is true.
    var uniquePlace: String?

    func joined(_ other: ArrayClause) -> ArrayClause? {
        var both = self
        for items in other.items where !both.items.contains(items) { both.items.append(items) }
        for count in other.counts where !both.counts.contains(count) { both.counts.append(count) }
        both.min = Swift.max(min, other.min)
        both.max = [max, other.max].compactMap(\.self).min()
        both.uniquePlace = uniquePlace ?? other.uniquePlace
        if let max = both.max, max < both.min { return nil }
        return both
    }
}

extension SchemaCompiler {
    /// The clauses of a constant or a keyword; an array matches it if at least one clause holds.
    mutating func arrayClauses(_ leaf: Formula, isNegated: Bool) throws(GrammarError) -> [ArrayClause] {
        let always = [ArrayClause()]
        func item(_ index: Int, _ formula: Formula) -> ArrayClause {
            let prefix = [Formula](repeating: .anything, count: index) + [formula]
            return ArrayClause(items: [.init(prefix: prefix, rest: .anything)], min: index + 1)
        }
        func lengths(_ min: Int, _ max: Int?) -> [ArrayClause] {
            guard isNegated else { return [ArrayClause(min: min, max: max)] }
            return (min > 0 ? [ArrayClause(max: min - 1)] : []) + (max.map { [ArrayClause(min: $0 + 1)] } ?? [])
        }
        switch leaf {
        case .const(.array(let values)):
            if isNegated {
                return lengths(values.count, values.count)
                    + values.enumerated().map { item($0, Formula.const($1).negated) }
            }
            return [
                ArrayClause(
                    items: [.init(prefix: values.map(Formula.const), rest: .nothing)], min: values.count,
                    max: values.count)
            ]
        case .const: return isNegated ? always : []
        case .keyword(.types(let kinds)): return kinds.contains(.array) != isNegated ? always : []
        case .keyword(.items(let schema)):
            let read = try keywords(schema)
            var prefix: [Formula] = []
            for inner in read.lists["prefixItems"] ?? [] { prefix.append(try formula(inner)) }
            let rest = try read.schemas["items"].map { (inner) throws(GrammarError) in try formula(inner) } ?? .anything
            guard isNegated else { return [ArrayClause(items: [.init(prefix: prefix, rest: rest)])] }
            return prefix.enumerated().map { item($0, $1.negated) }
                + [ArrayClause(counts: [.init(start: prefix.count, formula: rest.negated, min: 1, max: nil)])]
        case .keyword(.itemCount(let min, let max)): return lengths(min, max)
        case .keyword(.contains(let formula, let min, let max)):
            func count(_ min: Int, _ max: Int?) -> ArrayClause {
                ArrayClause(counts: [.init(start: 0, formula: formula, min: min, max: max)])
            }
            guard isNegated else { return [count(min, max)] }
            return (min > 0 ? [count(0, min - 1)] : []) + (max.map { [count($0 + 1, nil)] } ?? [])
        case .keyword(.uniqueItems(let place)):
            guard !isNegated else {
                throw GrammarError(
                    .unsupported, "schema", place: place, expected: "no negation of uniqueItems", found: "one",
                    remedy: "Keep it out of not, if and overlapping alternatives of oneOf.")
            }
            return [ArrayClause(uniquePlace: place)]
        default: return isNegated ? [] : always
        }
    }

    /// The start node of the arrays that satisfy a clause; nil if there are none.
    mutating func arrayRule(_ clause: ArrayClause) throws(GrammarError) -> Int32? {
        if let known = arrayRules[clause] { return known }
        let start = builder.node(opensContainer: true)
        arrayRules[clause] = start
        var clause = clause
        var distinct: Int32?
        if let place = clause.uniquePlace, clause.max ?? 2 > 1 {
            let formulas = (0...longestPrefix(clause)).map { item(clause, $0) }
            guard Set(formulas).count == 1, clause.counts.isEmpty,
                let texts = try distinctTexts(formulas[0], at: place)
            else {
                throw GrammarError(
                    .unsupported, "schema", place: place,
                    expected: "items of one schema that are strings, integers, true, false or null",
                    found: "uniqueItems for others", remedy: "Say so with items, or leave uniqueItems out.")
            }
            if let count = texts.count(below: Network.distinctLimit) {
                clause.max = Swift.min(clause.max ?? count, count)
                if clause.min > count { return start }
            }
            distinct = language(texts, countsTexts: true)
            if distinct == nil { clause.max = 0 }
        }
        try fill(start, clause, distinct)
        return start
    }

    private func longestPrefix(_ clause: ArrayClause) -> Int {
        Swift.max(clause.items.map(\.prefix.count).max() ?? 0, clause.counts.map(\.start).max() ?? 0)
    }

    private func item(_ clause: ArrayClause, _ index: Int) -> Formula {
        .conjunction(clause.items.map { $0.formula(at: index) })
    }

    /// The state within an array: number of items, and of those that match each count, saturated.
    private struct Progress: Hashable {
        var length = 0
        var counts: [Int]
    }

    private mutating func fill(_ start: Int32, _ clause: ArrayClause, _ distinct: Int32?) throws(GrammarError) {
        let cap = Swift.max(longestPrefix(clause), clause.min, clause.max ?? 0, 1)
        let first = Progress(counts: clause.counts.map { _ in 0 })
        var nodes: [Progress: Int32] = [first: builder.node()]
        var work = [first]
        builder.edge(start, 0x5B...0x5B, to: nodes[first]!)
        let end = builder.node(returns: true)
        while let progress = work.popLast() {
            try checkSize(clause.uniquePlace ?? "the root")
            let node = nodes[progress]!
            let isComplete = zip(clause.counts, progress.counts).allSatisfy { $1 >= $0.min }
            if progress.length >= clause.min, isComplete { builder.edge(node, 0x5D...0x5D, to: end) }
            guard progress.length < clause.max ?? Int.max else { continue }
            let before = progress.length == 0 ? node : builder.text(node, spelling.separator)
            var branches = [(item(clause, progress.length), progress.counts)]
            for (index, count) in clause.counts.enumerated() where progress.length >= count.start {
                branches = branches.flatMap { formula, counts in
                    var counted = counts
                    counted[index] = Swift.min(counts[index] + 1, (count.max ?? count.min) + 1)
                    // Without a maximum, counting an item is optional.
                    let needsCount = count.max != nil
                    if !needsCount { counted[index] = Swift.min(counted[index], count.min) }
                    let isOver = needsCount && counted[index] > count.max!
                    let uncounted = (
                        needsCount ? Formula.conjunction([formula, count.formula.negated]) : formula, counts
                    )
                    if isOver || (!needsCount && counts[index] >= count.min) { return [uncounted] }
                    return [(Formula.conjunction([formula, count.formula]), counted), uncounted]
                }
            }
            for (formula, counts) in branches where formula != .nothing {
                let next = Progress(length: Swift.min(progress.length + 1, cap), counts: counts)
                if nodes[next] == nil {
                    nodes[next] = builder.node()
                    work.append(next)
                }
                let item: Int32 = if let distinct { distinct } else { try rule(formula) }
                builder.call(before, item, to: nodes[next]!, isDistinct: distinct != nil)
            }
        }
    }
}

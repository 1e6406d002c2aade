/// A deterministic finite automaton over bytes: a regular language of byte strings.
///
/// Every state is reachable and reaches an accepting state: a text that has not failed can be completed.
struct ByteAutomaton: Sendable, Hashable {
    /// No transition.
    static let dead: Int32 = -1

    /// Equivalence class of each byte: bytes of one class have equal transitions in all states.
    let classes: [UInt8]  // 256
    let classCount: Int
    /// `[state * classCount + class]`, `dead` if the text fails.
    let table: [Int32]
    let accepting: [Bool]

    /// State 0 is the start; an automaton without states is the empty language.
    var stateCount: Int { accepting.count }
    var isEmpty: Bool { accepting.isEmpty }

    static let empty = ByteAutomaton(
        classes: [UInt8](repeating: 0, count: 256), classCount: 1, table: [], accepting: [])

    /// - Precondition: every state is reachable and reaches an accepting one.
    init(classes: [UInt8], classCount: Int, table: [Int32], accepting: [Bool]) {
        (self.classes, self.classCount, self.table, self.accepting) = (classes, classCount, table, accepting)
    }

    /// Explores the states reachable from `start`, and removes those that cannot reach an accepting state.
    ///
    /// - Parameters:
    ///   - classes: classes of bytes that `step` treats alike.
    ///   - limit: maximum number of states.
    ///   - step: the state after a byte; nil if the text fails.
    /// - Throws: `StateLimit` beyond `limit` states, or if the work exceeds its limit.
    init<State: Hashable>(
        from start: State, classes: [UInt8], limit: Int = 200_000, step: (State, UInt8) throws(StateLimit) -> State?,
        accepts: (State) -> Bool
    ) throws(StateLimit) {
        let classCount = Int(classes.max() ?? 0) + 1
        var representatives = [UInt8](repeating: 0, count: classCount)
        for byte in (0...255).reversed() { representatives[Int(classes[byte])] = UInt8(byte) }
        var ids: [State: Int32] = [start: 0]
        var states = [start]
        var table: [Int32] = []
        var index = 0
        while index < states.count {
            let state = states[index]
            try CompilationEffort.spend(classCount)
            for byte in representatives {
                guard let next = try step(state, byte) else {
                    table.append(Self.dead)
                    continue
                }
                if let id = ids[next] {
                    table.append(id)
                } else {
                    guard states.count < limit else { throw StateLimit() }
                    ids[next] = Int32(states.count)
                    table.append(Int32(states.count))
                    states.append(next)
                }
            }
            index += 1
        }
        self = Self.pruned(classes, classCount, table, states.map(accepts))
    }

    /// The automaton exceeds its limit of states, or its construction the limit of work.
    struct StateLimit: Error {}

    /// Removes the states that cannot reach an accepting state.
    private static func pruned(
        _ classes: [UInt8], _ classCount: Int, _ table: [Int32], _ accepting: [Bool]
    ) -> ByteAutomaton {
        let count = accepting.count
        var predecessors = [[Int32]](repeating: [], count: count)
        for state in 0..<count {
            for target in Set(table[state * classCount..<(state + 1) * classCount]) where target >= 0 {
                predecessors[Int(target)].append(Int32(state))
            }
        }
        var isLive = accepting
        var work = (0..<count).filter { accepting[$0] }
        while let state = work.popLast() {
            for predecessor in predecessors[state] where !isLive[Int(predecessor)] {
                isLive[Int(predecessor)] = true
                work.append(Int(predecessor))
            }
        }
        guard count > 0, isLive[0] else { return .empty }
        if isLive.allSatisfy({ $0 }) {
            return ByteAutomaton(classes: classes, classCount: classCount, table: table, accepting: accepting)
        }
        var ids = [Int32](repeating: dead, count: count)
        var kept: [Int] = []
        for state in 0..<count where isLive[state] {
            ids[state] = Int32(kept.count)
            kept.append(state)
        }
        var compact: [Int32] = []
        compact.reserveCapacity(kept.count * classCount)
        for state in kept {
            for target in table[state * classCount..<(state + 1) * classCount] {
                compact.append(target < 0 ? dead : ids[Int(target)])
            }
        }
        return ByteAutomaton(
            classes: classes, classCount: classCount, table: compact, accepting: kept.map { accepting[$0] })
    }

    func next(_ state: Int32, _ byte: UInt8) -> Int32 { table[Int(state) * classCount + Int(classes[Int(byte)])] }

    func contains(_ text: some Sequence<UInt8>) -> Bool { end(of: text, from: 0).map { accepting[Int($0)] } ?? false }

    /// The state after a text; nil if it fails.
    func end(of text: some Sequence<UInt8>, from start: Int32) -> Int32? {
        guard !isEmpty else { return nil }
        var state = start
        for byte in text {
            state = next(state, byte)
            if state < 0 { return nil }
        }
        return state
    }

    // MARK: Construction

    /// The language of exactly these texts.
    init(texts: [[UInt8]]) {
        guard !texts.isEmpty else {
            self = .empty
            return
        }
        var children: [[UInt8: Int32]] = [[:]]
        var accepting = [false]
        for text in texts {
            var state = 0
            for byte in text {
                if let next = children[state][byte] {
                    state = Int(next)
                } else {
                    children[state][byte] = Int32(children.count)
                    state = children.count
                    children.append([:])
                    accepting.append(false)
                }
            }
            accepting[state] = true
        }
        let used = Set(texts.joined()).sorted()
        var classes = [UInt8](repeating: 0, count: 256)
        // 256 distinct bytes leave none for class 0, and need all classes.
        let base = used.count == 256 ? 0 : 1
        for (index, byte) in used.enumerated() { classes[Int(byte)] = UInt8(index + base) }
        let classCount = used.count + base
        var table = [Int32](repeating: Self.dead, count: children.count * classCount)
        for (state, edges) in children.enumerated() {
            for (byte, next) in edges { table[state * classCount + Int(classes[Int(byte)])] = next }
        }
        self.init(classes: classes, classCount: classCount, table: table, accepting: accepting)
    }

    // MARK: Boolean operations

    /// The language of texts for which `includes` is true of the memberships in both; `includes(false, false)` must be
    /// false.
    func combined(
        _ other: ByteAutomaton, limit: Int = 200_000, _ includes: (Bool, Bool) -> Bool
    ) throws(StateLimit) -> ByteAutomaton {
        struct Pair: Hashable { let first, second: Int32 }
        if isEmpty && other.isEmpty { return .empty }
        let needsFirst = !includes(false, true)
        let needsSecond = !includes(true, false)
        let joint = Self.joint(classes, other.classes)
        let start = Pair(first: isEmpty ? Self.dead : 0, second: other.isEmpty ? Self.dead : 0)
        return try ByteAutomaton(from: start, classes: joint, limit: limit) { pair, byte in
            let first = pair.first < 0 ? Self.dead : next(pair.first, byte)
            let second = pair.second < 0 ? Self.dead : other.next(pair.second, byte)
            if (first < 0 && (needsFirst || second < 0)) || (second < 0 && needsSecond) { return nil }
            return Pair(first: first, second: second)
        } accepts: { pair in
            includes(
                pair.first >= 0 && accepting[Int(pair.first)], pair.second >= 0 && other.accepting[Int(pair.second)])
        }
    }

    func intersection(_ other: ByteAutomaton) throws(StateLimit) -> ByteAutomaton {
        if self == other { return self }
        return try combined(other) { $0 && $1 }
    }
    func union(_ other: ByteAutomaton) throws(StateLimit) -> ByteAutomaton {
        if isEmpty || self == other { return other }
        return other.isEmpty ? self : try combined(other) { $0 || $1 }
    }
    func subtracting(_ other: ByteAutomaton) throws(StateLimit) -> ByteAutomaton {
        other.isEmpty ? self : try combined(other) { $0 && !$1 }
    }

    /// The common refinement of the byte classes of two automata.
    static func joint(_ first: [UInt8], _ second: [UInt8]) -> [UInt8] {
        var ids: [Int: UInt8] = [:]
        return (0..<256).map { byte in
            let key = Int(first[byte]) << 8 | Int(second[byte])
            if let id = ids[key] { return id }
            // At most 256 classes, because each contains a byte.
            let id = UInt8(ids.count)
            ids[key] = id
            return id
        }
    }

    /// The minimal automaton of the same language: merges states that no text distinguishes.
    ///
    /// Moore's algorithm; for small automata.
    func minimized() -> ByteAutomaton {
        guard !isEmpty else { return self }
        var blocks = accepting.map { $0 ? 1 : 0 }
        var count = Set(blocks).count
        while true {
            var ids: [[Int]: Int] = [:]
            let refined = (0..<stateCount).map { state in
                let row = table[state * classCount..<(state + 1) * classCount]
                let signature = [blocks[state]] + row.map { $0 < 0 ? -1 : blocks[Int($0)] }
                // Blocks are numbered in order of discovery, so that the start is in block 0.
                let id = ids[signature] ?? ids.count
                ids[signature] = id
                return id
            }
            blocks = refined
            if ids.count == count { break }
            count = ids.count
        }
        var representatives = [Int](repeating: -1, count: count)
        for state in 0..<stateCount where representatives[blocks[state]] < 0 { representatives[blocks[state]] = state }
        return ByteAutomaton(
            classes: classes, classCount: classCount,
            table: representatives.flatMap { state in
                table[state * classCount..<(state + 1) * classCount].map { $0 < 0 ? Self.dead : Int32(blocks[Int($0)]) }
            }, accepting: representatives.map { accepting[$0] })
    }

    // MARK: Counting

    /// For each state the number of texts that lead from it to acceptance, at most `limit`.
    func completionCounts(limit: Int) -> [Int] {
        var counts = [Int](repeating: limit, count: stateCount)  // states that lead to a cycle keep the limit
        var predecessors = [[Int32]](repeating: [], count: stateCount)
        var open = [Int](repeating: 0, count: stateCount)
        for state in 0..<stateCount {
            for target in table[state * classCount..<(state + 1) * classCount] where target >= 0 {
                predecessors[Int(target)].append(Int32(state))
                open[state] += 1
            }
        }
        var weights = [Int](repeating: 0, count: classCount)
        for byte in 0..<256 { weights[Int(classes[byte])] += 1 }
        var work = (0..<stateCount).filter { open[$0] == 0 }
        while let state = work.popLast() {
            var sum = accepting[state] ? 1 : 0
            for symbol in 0..<classCount {
                let target = table[state * classCount + symbol]
                if target >= 0 { sum = min(limit, sum + weights[symbol] * counts[Int(target)]) }
            }
            counts[state] = sum
            for predecessor in predecessors[state] {
                open[Int(predecessor)] -= 1
                if open[Int(predecessor)] == 0 { work.append(Int(predecessor)) }
            }
        }
        return counts
    }

    /// The number of texts; nil if it is `limit` or more.
    func count(below limit: Int) -> Int? {
        guard !isEmpty else { return 0 }
        let count = completionCounts(limit: limit)[0]
        return count < limit ? count : nil
    }
}

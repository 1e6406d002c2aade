import JSONText

/// An exact decimal number.
struct DecimalNumber: Sendable, Hashable {
    let isNegative: Bool
    /// Without leading zeros, except for "0" itself.
    let integer: [UInt8]
    /// Without trailing zeros.
    let fraction: [UInt8]

    /// - Returns: nil if this is not a number.
    init?(_ value: JSONValue) {
        switch value {
        case .integer(let number): self.init(text: String(number))
        case .largeInteger(let digits): self.init(text: digits)
        case .number(let number): self.init(text: "\(number)")
        default: return nil
        }
    }

    private init?(text: String) {
        let parts = text.lowercased().split(separator: "e", maxSplits: 1)
        var mantissa = parts[0]
        isNegative = mantissa.first == "-"
        if isNegative { mantissa.removeFirst() }
        let digits = mantissa.split(separator: ".", omittingEmptySubsequences: false)
        var point = digits[0].utf8.count
        var all = Array(digits.joined().utf8).map { $0 - 0x30 }
        if parts.count == 2 {
            guard let exponent = Int(parts[1]) else { return nil }
            point += exponent
        }
        if point < 0 { all.insert(contentsOf: [UInt8](repeating: 0, count: -point), at: 0) }
        point = max(0, point)
        while all.count < point { all.append(0) }
        let whole = Array(all[..<point].drop { $0 == 0 })
        integer = whole.isEmpty ? [0] : whole
        var rest = Array(all[point...])
        while rest.last == 0 { rest.removeLast() }
        fraction = rest
    }

    var isZero: Bool { integer == [0] && fraction.isEmpty }
}

/// A set of numbers by their decimal notations; contains either all notations of a value or none.
struct NumberSet: Sendable, Hashable {
    let decimals: ByteAutomaton
    /// Whether it also contains every number in exponential notation.
    let hasExponents: Bool

    static let none = NumberSet(decimals: .empty, hasExponents: false)

    typealias Limit = ByteAutomaton.StateLimit

    static func all() throws(Limit) -> NumberSet {
        let decimals = try ByteAutomaton(from: Phase.start, classes: byteClasses) {
            $0.after($1)
        } accepts: {
            $0.isComplete
        }
        return NumberSet(decimals: decimals, hasExponents: true)
    }

    static func integers() throws(Limit) -> NumberSet {
        NumberSet(decimals: try expression("-?(0|[1-9][0-9]*)(\\.0+)?"), hasExponents: false)
    }

    enum Relation { case less, atMost, greater, atLeast, equal }

    init(decimals: ByteAutomaton, hasExponents: Bool) {
        (self.decimals, self.hasExponents) = (decimals, hasExponents && !decimals.isEmpty)
    }

    /// The numbers that compare to a bound in this way.
    init(_ relation: Relation, _ bound: DecimalNumber) throws(Limit) {
        let decimals = try Self.digits(comparedWith: bound) { order in
            switch relation {
            case .less: order < 0
            case .atMost: order <= 0
            case .greater: order > 0
            case .atLeast: order >= 0
            case .equal: order == 0
            }
        }
        self.init(decimals: decimals, hasExponents: false)
    }

    /// The multiples of a number.
    ///
    /// - Returns: nil if the number is 10⁵ or more units of its last digit.
    init?(multiplesOf divisor: DecimalNumber) throws(Limit) {
        guard
            let unit = (divisor.integer + divisor.fraction).reduce(
                0, { (sum: Int?, digit) in sum.flatMap { $0 < 100_000 ? $0 * 10 + Int(digit) : nil } }), unit > 0,
            unit < 100_000
        else { return nil }
        let places = divisor.fraction.count
        // For multiples of 100 the remainder suffices; for 0.01 the digits after the second decimal must be zeros.
        struct State: Hashable {
            var phase: Phase
            var remainder: Int
            var place: Int
        }
        func isMultiple(_ state: State) -> Bool {
            (state.place..<max(state.place, places)).reduce(state.remainder) { remainder, _ in remainder * 10 % unit }
                == 0
        }
        let automaton = try ByteAutomaton(
            from: State(phase: .start, remainder: 0, place: 0), classes: Self.byteClasses
        ) { state, byte in
            guard let phase = state.phase.after(byte) else { return nil }
            var next = state
            next.phase = phase
            guard let digit = Self.digit(byte) else { return next }
            if phase == .fraction {
                if state.place == places { return digit == 0 ? next : nil }
                next.place += 1
            }
            next.remainder = (state.remainder * 10 + digit) % unit
            return next
        } accepts: {
            $0.phase.isComplete && isMultiple($0)
        }
        self.init(decimals: automaton, hasExponents: false)
    }

    func intersection(_ other: NumberSet) throws(Limit) -> NumberSet {
        NumberSet(
            decimals: try decimals.intersection(other.decimals), hasExponents: hasExponents && other.hasExponents)
    }

    func union(_ other: NumberSet) throws(Limit) -> NumberSet {
        NumberSet(decimals: try decimals.union(other.decimals), hasExponents: hasExponents || other.hasExponents)
    }

    func complement() throws(Limit) -> NumberSet {
        let all = try Self.all()
        return NumberSet(
            decimals: try all.decimals.subtracting(decimals), hasExponents: decimals.isEmpty)
    }

    /// The notations to generate: integers without a fraction; exponents only for unrestricted numbers; trailing zeros
    /// of a fraction, except in small sets.
    func texts() throws(Limit) -> ByteAutomaton {
        if hasExponents { return try Self.expression("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]{1,2})?") }
        if try decimals.subtracting(Self.integers().decimals).isEmpty {
            return try decimals.intersection(Self.expression("0|-?[1-9][0-9]*"))
        }
        let shortest = try decimals.intersection(Self.expression("0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\\.[0-9]*[1-9]"))
        return shortest.count(below: 1000) != nil ? shortest : decimals
    }

    /// Whether each number has only one notation.
    var isWrittenUniquely: Bool {
        guard !hasExponents else { return false }
        let rest = try? decimals.subtracting(Self.integers().decimals)
        return rest?.isEmpty == true
    }

    private static func expression(_ text: String) throws(Limit) -> ByteAutomaton {
        // A literal in this file.
        guard let expression = try? RegularExpression(parsing: text) else { preconditionFailure(text) }
        return try ByteAutomaton(expression, .utf8)
    }

    // MARK: Digits

    private enum Phase: Hashable {
        case start, sign, zero, integer, point, fraction

        func after(_ byte: UInt8) -> Phase? {
            switch (self, byte) {
            case (.start, 0x2D): .sign
            case (.start, 0x30), (.sign, 0x30): .zero
            case (.start, 0x31...0x39), (.sign, 0x31...0x39): .integer
            case (.integer, 0x30...0x39): .integer
            case (.zero, 0x2E), (.integer, 0x2E): .point
            case (.point, 0x30...0x39), (.fraction, 0x30...0x39): .fraction
            default: nil
            }
        }

        var isComplete: Bool { self == .zero || self == .integer || self == .fraction }
    }

    private static let byteClasses: [UInt8] = (0..<256).map { byte in
        switch byte {
        case 0x30...0x39: UInt8(byte - 0x30 + 3)
        case 0x2D: 1
        case 0x2E: 2
        default: 0
        }
    }

    private static func digit(_ byte: UInt8) -> Int? { (0x30...0x39).contains(byte) ? Int(byte) - 0x30 : nil }

    /// The numbers whose order relative to `bound` is included: −1 less, 0 equal, 1 greater.
    private static func digits(
        comparedWith bound: DecimalNumber, _ includes: (Int) -> Bool
    ) throws(Limit) -> ByteAutomaton {
        struct State: Hashable {
            var phase = Phase.start
            var isNegative = false
            var isZero = true
            /// Number of digits so far, at most one more than the bound has.
            var length = 0
            var order = 0
            /// Set at the decimal point: the order of the integer parts.
            var integerOrder = 0
        }
        let (integer, fraction) = (bound.integer, bound.fraction)
        func integerOrder(_ state: State) -> Int {
            state.length != integer.count ? (state.length < integer.count ? -1 : 1) : state.order
        }
        func magnitude(_ state: State) -> Int {
            guard state.phase == .fraction else {
                let order = integerOrder(state)
                return order == 0 && !fraction.isEmpty ? -1 : order
            }
            if state.integerOrder != 0 { return state.integerOrder }
            return state.order == 0 && state.length < fraction.count ? -1 : state.order
        }
        func order(_ state: State) -> Int {
            if state.isZero { return bound.isZero ? 0 : bound.isNegative ? 1 : -1 }
            if state.isNegative { return bound.isNegative && !bound.isZero ? -magnitude(state) : -1 }
            return bound.isNegative && !bound.isZero ? 1 : magnitude(state)
        }
        return try ByteAutomaton(from: State(), classes: byteClasses) { state, byte in
            guard let phase = state.phase.after(byte) else { return nil }
            var next = state
            next.phase = phase
            if phase == .sign { next.isNegative = true }
            if phase == .point {
                next.integerOrder = integerOrder(state)
                (next.length, next.order) = (0, 0)
            }
            guard let digit = digit(byte) else { return next }
            if digit != 0 { next.isZero = false }
            let digits = phase == .fraction ? fraction : integer
            if state.length < digits.count {
                if state.order == 0 {
                    let theirs = Int(digits[state.length])
                    next.order = digit < theirs ? -1 : digit > theirs ? 1 : 0
                }
                next.length += 1
            } else if phase == .fraction {
                if state.order == 0, digit != 0 { next.order = 1 }
            } else {
                next.length = digits.count + 1
            }
            return next
        } accepts: {
            $0.phase.isComplete && includes(order($0))
        }
    }
}

import Testing

/// Expects two rows of numbers to agree: |found − expected| ≤ absolute + relative · |expected|, NaN only where NaN is
/// expected. Reports the element that is furthest out.
package func expectClose(
    _ found: [Float], _ expected: [Float], absolute: Float = 0, relative: Float = 0,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard found.count == expected.count else {
        Issue.record("\(found.count) numbers, expected \(expected.count)", sourceLocation: sourceLocation)
        return
    }
    var worst: (index: Int, excess: Float) = (0, 0)
    var failures = 0
    for (index, (a, b)) in zip(found, expected).enumerated() where a != b && !(a.isNaN && b.isNaN) {
        let allowed = absolute + relative * abs(b)
        let excess = (a - b).isFinite ? abs(a - b) / allowed : .infinity
        if excess > 1 { failures += 1 }
        if excess > worst.excess { worst = (index, excess) }
    }
    guard failures > 0 else { return }
    Issue.record(
        """
        \(failures) of \(found.count) numbers differ; the worst is number \(worst.index): \(found[worst.index]), \
        expected \(expected[worst.index]), \(worst.excess) times the tolerance
        """, sourceLocation: sourceLocation)
}

/// Numbers between -1 and 1 that are the same on every machine: SplitMix64 (Steele, Lea and Flood, 2014).
package struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    package mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }
}

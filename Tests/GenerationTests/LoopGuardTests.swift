import Testing

@testable import Generation

/// The number of tokens at which a loop is detected, and the repetition.
private func detect(_ tokens: [Int], _ limits: LoopGuard = .init()) -> (count: Int, repetition: Range<Int>)? {
    var detector = LoopDetector(limits)
    for (index, token) in tokens.enumerated() {
        if let repetition = detector.append(token) { return (index + 1, repetition) }
    }
    return nil
}

@Suite struct LoopGuardTests {
    /// After a beginning of ten tokens, a circle of `period` tokens.
    @Test(arguments: [1, 2, 7, 50, 128])
    func aCircleIsNoticedAndCutToOneRound(period: Int) throws {
        let limits = LoopGuard(fewestRounds: 6, fewestTokens: 96)
        let circle = (0..<2_000).map { $0 < 10 ? 1_000 + $0 : ($0 - 10) % period }
        let found = try #require(detect(circle, limits))
        #expect(found.count == 10 + max(96, 6 * period))
        #expect(found.repetition == 10 + period..<found.count)
    }

    /// A loop may begin in the middle of its period: everything up to the end of its first period is kept.
    @Test func theFirstRoundIsTheEarliest() throws {
        let found = try #require(detect([1, 2, 3] + (0..<600).map { [7, 8, 9][$0 % 3] }))
        #expect(found.repetition.lowerBound == 6)
    }

    @Test func whatPeopleSayAndWriteIsNoCircle() {
        func digits(_ count: Int) -> [Int] { (0..<count).flatMap { _ in [5, 32] } }
        // "5 5 5 5" of up to forty digits, a space before each.
        for count in [4, 16, 40] { #expect(detect([1, 2] + digits(count) + [3, 4], .transcript) == nil) }
        // A refrain of 30 tokens, four times.
        #expect(detect((0..<120).map { $0 % 30 }, .transcript) == nil)
        // A table of 20 rows whose cells differ.
        #expect(detect((0..<20).flatMap { [1, 2, 3, 4, 100 + $0, 5, 6] }) == nil)
        // A line of 150 signs.
        #expect(detect([Int](repeating: 45, count: 150)) == nil)
        // Longer circles than any that is looked for.
        #expect(detect((0..<3_000).map { $0 % 300 }) == nil)
    }

    @Test func anInterruptedCircleStartsAgain() {
        let once = (0..<90).map { $0 % 3 }
        #expect(detect(once + [99] + once + [98] + once, .transcript) == nil)
    }
}

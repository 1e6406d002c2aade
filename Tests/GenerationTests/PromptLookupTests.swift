import Testing

@testable import Generation

@Suite struct PromptLookupTests {
    @Test func guessesWhatFollowedTheSameRun() {
        var lookup = PromptLookup([1, 2, 3, 4, 5, 6, 1, 2])
        #expect(lookup.guesses(4).isEmpty)
        lookup.append(3)
        #expect(Array(lookup.guesses(4)) == [4, 5, 6, 1])
        #expect(Array(lookup.guesses(1)) == [4])
        lookup.append(4)
        #expect(Array(lookup.guesses(2)) == [5, 6])
    }

    /// The draft continues the passage being copied, although its last three tokens also occur later in the prompt.
    @Test func staysWithAPassageWhileItIsRight() {
        var lookup = PromptLookup([9, 1, 2, 3, 4, 5, 8, 2, 3, 4, 7, 0])
        for token in [9, 1, 2] { lookup.append(token) }
        #expect(Array(lookup.guesses(3)) == [3, 4, 5])
        for token in [3, 4] { lookup.append(token) }
        #expect(Array(lookup.guesses(2)) == [5, 8])
        lookup.append(6)
        #expect(lookup.guesses(1).isEmpty)
    }

    @Test func acceptanceFollowsWhatWasRight() {
        var lookup = PromptLookup((0..<40).map { $0 % 4 })
        #expect(lookup.acceptance == 0.5)
        for token in 0..<20 { lookup.append(token % 4) }
        #expect(lookup.acceptance > 0.95)
        for token in 100..<101 { lookup.append(token) }
        #expect(lookup.acceptance < 0.8)
    }

    /// If the cost of a pass does not depend on its rows, all drafts pay; if each row costs as much as the first, none
    /// does.
    @Test func takesAsManyGuessesAsPay() {
        func count(_ acceptance: Double, rows: Int = 1, answers: Int = 1, rowSeconds: Double) -> Int {
            var speculation = Speculation(rows: rows, answers: answers)
            return speculation.add(most: 8, acceptance: acceptance) { 1 + rowSeconds * Double($0 - 1) }
        }
        #expect(count(0.9, rowSeconds: 0) == 8)
        #expect(count(0.9, rowSeconds: 1) == 0)
        #expect(count(0, rowSeconds: 0) == 0)
        // 1 + 0.5 over 1.2 is 1.25, 1 + 0.5 + 0.25 over 1.4 the same.
        #expect((1...2).contains(count(0.5, rowSeconds: 0.2)))
        #expect(count(1, rows: 14, answers: 14, rowSeconds: 0) == 2)
    }

    /// What one answer has taken counts for the next.
    @Test func answersShareThePass() {
        var speculation = Speculation(rows: 4, answers: 4)
        let counts = (0..<4).map { _ in speculation.add(most: 8, acceptance: 1) { _ in 1 } }
        #expect(counts == [8, 4, 0, 0])
    }
}

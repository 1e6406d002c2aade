import Testing

@testable import Generation

/// - Returns: the emitted texts, and whether a stop string was found.
private func read(_ pieces: [String], _ stops: [String]) -> (texts: [String], isStopped: Bool) {
    var strings = StopStrings(stops)
    var texts: [String] = []
    for piece in pieces {
        let (text, isComplete) = strings.append(piece)
        texts.append(text)
        if isComplete { return (texts, true) }
    }
    return (texts + [strings.finish()], false)
}

@Test func textIsHeldBackUntilNoStopStringCanBegin() {
    #expect(read(["a", "b", "c"], ["bx"]) == (["a", "", "bc", ""], false))
    #expect(read(["ab", "END", "more"], ["END"]) == (["ab", ""], true))
    #expect(read(["abE", "N", "D"], ["END"]) == (["ab", "", ""], true))
    #expect(read(["abE", "N"], ["END"]) == (["ab", "", "EN"], false))
    #expect(read(["éE", "NDé"], ["END"]) == (["é", ""], true))
}

@Test func theFirstOfSeveralStopStringsCounts() {
    #expect(read(["x\n\nUser:"], ["User:", "\n\n"]) == (["x"], true))
    #expect(read(["aab", "aac"], ["aaac", "baa"]) == (["aa", ""], true))
    #expect(read(["anything"], [""]) == (["anything", ""], false))
}

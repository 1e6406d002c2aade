import Testing

@testable import Transcription

/// Two overlapping texts and their joined text.
struct SeamCase: CustomTestStringConvertible, Sendable {
    let earlier, later, joined: String

    init(_ earlier: String, _ later: String, _ joined: String) {
        (self.earlier, self.later, self.joined) = (earlier, later, joined)
    }

    var testDescription: String { "\(earlier) | \(later)" }
}

@Suite struct SeamTests {
    @Test(arguments: [
        // Words of both texts occur once.
        SeamCase("turn on the kitchen light", "kitchen light and go", "turn on the kitchen light and go"),
        SeamCase("one two three", "three four", "one two three four"),
        SeamCase("5 5 5", "5 5 3", "5 5 5 3"),
        // A word broken by the cut is whole in the other text.
        SeamCase("open the kitch", "the kitchen door", "open the kitchen door"),
        SeamCase("set the clock on tue", "clock on tuesday morning", "set the clock on tuesday morning"),
        SeamCase("red green blue", "reen blue yellow", "red green blue yellow"),
        SeamCase("good morn", "morning all", "good morning all"),
        SeamCase("good morning", "rning all", "good morning all"),
        // One of the words is recognized differently.
        SeamCase("red green blue pink", "glue pink gray", "red green blue pink gray"),
        SeamCase("we left the house at", "be left the house at noon", "we left the house at noon"),
        // Punctuation and capitals do not count.
        SeamCase("I said: stop, now.", "Stop now! And then", "I said: stop, now! And then"),
        SeamCase("Das war's.", "das war's. Danach", "Das war's. Danach"),
        // No overlap: both texts are kept whole.
        SeamCase("one two", "three four", "one two three four"),
        SeamCase("", "three", "three"),
        SeamCase("one", "", "one"),
        SeamCase("north north north", "south", "north north north south"),
        // Far from the seam, words may repeat.
        SeamCase(
            "the day the sun and all of the stars had gone", "had gone the day began",
            "the day the sun and all of the stars had gone the day began"),
        // Scripts without spaces.
        SeamCase("今日はいい天気", "いい天気ですね", "今日はいい天気ですね"),
        SeamCase("我们明天去", "明天去北京", "我们明天去北京"),
    ])
    func wordsAtTheSeamStandOnce(seam: SeamCase) {
        let found = Seam(seam.earlier, seam.later)
        #expect(Seam.concatenate(found.earlier, found.later) == seam.joined)
    }

    @Test func theTwoAreBeginningAndEndOfTheTexts() {
        let seam = Seam("open the kitch", "the kitchen door")
        #expect(seam.earlier == "open the" && seam.later == " kitchen door")
    }
}

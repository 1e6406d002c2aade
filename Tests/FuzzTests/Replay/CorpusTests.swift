import Foundation
import Testing

/// Replays the corpus of `make fuzz`, which contains every input that ever crashed.
struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func everyInputIsAcceptedOrRefused(target: FuzzTarget) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: target.corpus.path).sorted()
        #expect(!names.isEmpty)
        let accepted = try names.count { name in
            target.read(Array(try Data(contentsOf: target.corpus.appending(path: name))))
        }
        #expect(accepted > 0, "all \(names.count) refused: the target may not reach its reader")
    }
}

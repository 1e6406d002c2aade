import Foundation
import TestSupport
import Testing

@testable import Media

/// The folder of `make media-corpora`.
private let corpora = ProcessInfo.processInfo.environment["GEMMA4_CORPORA"].map { URL(filePath: $0) }

/// Image corpora of other projects against Pillow: `make media-corpora` (Tests/Corpora/README.md), not `make test`.
@Suite(.enabled(if: corpora != nil)) struct CorporaTests {
    /// One line of `pictures.json`.
    struct Picture: Decodable {
        /// Below the folder.
        let file: String
        /// Upright; absent if Pillow refuses the file.
        let width, height: Int?
        /// Raw RGB, below the folder.
        let rgb: String?
        /// The largest difference of a value that is documented for this file; absent: 0.
        let tolerance: Int?
        /// Why a difference is known and may be there.
        let reason: String?
    }

    @Test func equalPillow() throws {
        let folder = try #require(corpora)
        let pictures = try JSONDecoder().decode(
            [Picture].self, from: Data(contentsOf: folder.appending(path: "pictures.json")))
        var equal = 0
        var refused = 0
        var differences: [String] = []
        for picture in pictures {
            let (result, problem) = try compare(picture, in: folder)
            switch (result, picture.reason) {
            case (.equal, nil): equal += 1
            case (.refused, _): refused += 1
            case (_, let reason?):
                if let problem { print("\(picture.file): \(problem) (\(reason))") }
            default: differences.append("\(picture.file): \(problem ?? "")")
            }
        }
        print("\(equal) of \(pictures.count) pictures are equal, \(refused) are refused by Pillow")
        #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
    }

    private enum Result { case equal, refused, different }

    private func compare(_ picture: Picture, in folder: URL) throws -> (Result, String?) {
        let pixels: Pixels
        do {
            pixels = try ImageReader().read(folder.appending(path: picture.file))
        } catch {
            return picture.rgb == nil ? (.refused, nil) : (.different, "refused: \(error)")
        }
        // More files are readable than by Pillow, for example PNG files with damaged text chunks.
        guard let name = picture.rgb else { return (.refused, nil) }
        guard pixels.width == picture.width, pixels.height == picture.height else {
            return (
                .different,
                "\(pixels.width)×\(pixels.height), expected \(picture.width ?? 0)×\(picture.height ?? 0)"
            )
        }
        let expected = [UInt8](try Data(contentsOf: folder.appending(path: name)))
        let worst = zip(pixels.rgb, expected).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
        let count = zip(pixels.rgb, expected).count { $0 != $1 }
        return worst <= picture.tolerance ?? 0
            ? (.equal, nil) : (.different, "\(count) of \(expected.count) values differ, by up to \(worst)")
    }
}

import Foundation
import TestSupport
import Testing

@testable import Media

@Suite struct MediaKindTests {
    @Test func mediaAreKnownByTheirFirstBytes() throws {
        for (folder, medium) in [("pictures", MediaKind.Medium.picture), ("recordings", .sound)] {
            let names = try FileManager.default.contentsOfDirectory(
                atPath: MediaGoldens.folder.appending(path: folder).path)
            #expect(names.count > 10)
            for name in names {
                let kind = MediaKind(of: MediaGoldens.folder.appending(path: "\(folder)/\(name)"))
                #expect(kind?.medium == medium, "\(name)")
            }
        }
    }

    @Test(arguments: [
        (MediaKind.Medium.film, "MP4", "\0\0\0\u{18}ftypisom\0\0\0\0"),
        (.sound, "M4A (AAC)", "\0\0\0\u{18}ftypM4A \0\0\0\0"),
        (.picture, "AVIF", "\0\0\0\u{1C}ftypmif1\0\0\0\0mif1avif"),
        (.picture, "HEIC", "\0\0\0\u{1C}ftypmif1\0\0\0\0mif1heic"),
        (.sound, "W64", "riff\u{2E}\u{91}\u{CF}\u{11}"), (.sound, "MP3 or AAC", "\u{FF}\u{FB}\u{90}\u{64}\0"),
        (.sound, "MP3 or AAC", "\u{FF}\u{F1}\u{50}\u{80}"), (.film, "AVI", "RIFF\0\0\0\0AVI "),
        (.picture, "PDF", "%PDF-1.4"),
    ])
    func formatsHaveNames(medium: MediaKind.Medium, name: String, head: String) {
        let kind = MediaKind(head: Data(head.unicodeScalars.map { UInt8($0.value) }))
        #expect(kind?.medium == medium && kind?.name == name)
    }

    /// Results, models, and text in another encoding.
    @Test(arguments: [
        "", "{\"file\": \"a.png\"}\n", "WEBVTT\n", "1\n00:00:00,000 --> ", "GGUF\u{3}\0\0\0", "\u{93}NUMPY\u{1}\0",
        "\u{FF}\u{FE}H\0e\0", "start\tend\ttext\n", "Good morning", "\u{EF}\u{BB}\u{BF}text",
        "BMW drivers may", "BM", "caffeine", "ID3 tags", "OggSound", "Gemma",
    ])
    func textsAreNone(head: String) {
        let bytes = Data(head.unicodeScalars.map { UInt8($0.value) })
        #expect(MediaKind(head: bytes) == nil)
    }
}

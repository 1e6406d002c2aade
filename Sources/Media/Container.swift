import Foundation

extension SourceBytes {
    /// Refuses a WAV or AIFF file whose sound ends before its header says: half a recording must not pass for a whole one.
    ///
    /// libsndfile takes what is there without a word. Lengths that recorders write while they do not know better (0 and
    /// nearly 2³¹ or 2³²) are no announcement, nor is anything in a pipe's header.
    ///
    /// Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); Apple, AIFF-C.
    func checkComplete() throws(MediaError) {
        guard let (id, order) = soundChunk else { return }
        var place = 12
        while let name = text(at: place, count: 4), let size = integer(at: place + 4, order) {
            let left = bytes.count - place - 8
            if name == id {
                guard size > 0, size < 0x7FFF_F000, size > left else { return }
                throw error(
                    .truncated, expected: "a whole recording", found: "\(left) of \(size) bytes of sound",
                    remedy:
                        "copy or download it again; to use what is there: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")
            }
            place += 8 + size + size % 2
        }
    }

    /// The chunk that holds the sound, and the order of bytes in its length.
    private var soundChunk: (id: String, order: ByteOrder)? {
        switch (text(at: 0, count: 4), text(at: 8, count: 4)) {
        case ("RIFF", "WAVE"): ("data", .little)
        case ("FORM", "AIFF"), ("FORM", "AIFC"): ("SSND", .big)
        default: nil
        }
    }

    private enum ByteOrder { case little, big }

    private func text(at place: Int, count: Int) -> String? {
        guard place >= 0, place + count <= bytes.count else { return nil }
        return String(decoding: bytes.dropFirst(place).prefix(count), as: Unicode.ASCII.self)
    }

    private func integer(at place: Int, _ order: ByteOrder) -> Int? {
        guard place + 4 <= bytes.count else { return nil }
        let digits = bytes.dropFirst(place).prefix(4)
        return (order == .big ? Array(digits) : digits.reversed()).reduce(0) { $0 << 8 | Int($1) }
    }
}

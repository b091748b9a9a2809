const english = `the model answers a question about shipping delays returns invoices and contracts
it reads each clause compares prices with last month and explains why latency grew after the new release
customers often ask whether their order can still change before Friday support replies within two hours
a short summary helps readers decide what matters next our warehouse in Hanoi opens early`.split(
  /\s+/,
)

const vietnamese =
  `khách hàng thường hỏi đơn hàng của họ bao giờ được giao và có thể đổi địa chỉ không
mô hình đọc từng điều khoản so sánh giá với tháng trước rồi giải thích vì sao độ trễ tăng lên
bộ phận hỗ trợ trả lời trong vòng hai giờ kho ở Đà Nẵng mở cửa sớm hơn vào cuối tuần
bản tóm tắt ngắn giúp người đọc quyết định điều gì quan trọng nhất`.split(/\s+/)

/** A source of numbers in [0, 1) that repeats for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A 32-bit FNV-1a hash that turns the messages of a request into part of its seed. */
export function hashText(text: string, start: number): number {
  let hash = (0x811c9dc5 ^ start) >>> 0
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0
  }
  return hash
}

/** `count` tokens of prose, in Vietnamese where the question has Vietnamese letters. */
export function writeTokens(random: () => number, question: string, count: number): string[] {
  const words = /[àáãâèêìíòóõôùúýăđĩũơưạ-ỹ]/i.test(question) ? vietnamese : english
  const tokens: string[] = []
  let left = 0
  while (tokens.length < count) {
    if (left === 0) {
      left = 5 + Math.floor(random() * 10)
      const lead = tokens.length === 0 ? '' : random() < 0.2 ? '.\n\n' : '. '
      tokens.push(lead + capitalised(pick(words, random)))
    } else {
      tokens.push((random() < 0.08 ? ', ' : ' ') + pick(words, random))
    }
    left--
  }
  return tokens
}

function pick(words: readonly string[], random: () => number): string {
  return words[Math.floor(random() * words.length)] as string
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
